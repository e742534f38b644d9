//! Two network namespaces behind a switch, whose cable can be pulled. Needs root and iproute2.

use std::{
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use super::skipped;

/// Two namespaces, `10.77.7.1` and `10.77.7.2`, on one local network. They go with this value.
pub(crate) struct Lan {
    /// The names of the two.
    pub(crate) names: [String; 2],
    switch: String,
}

/// Runs `ip`.
///
/// # Errors
/// What it said.
pub(super) fn ip(arguments: &str) -> Result<(), String> {
    let output = Command::new("ip")
        .args(arguments.split_whitespace())
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("ip: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!(
        "ip {arguments}: {}",
        String::from_utf8_lossy(&output.stderr)
    ))
}

impl Lan {
    /// Makes it.
    ///
    /// # Errors
    /// What is missing on this machine.
    pub(crate) fn lay() -> Result<Self, String> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let id = format!("{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let lan = Self {
            names: [format!("subrosa-a{id}"), format!("subrosa-b{id}")],
            switch: format!("subrosa-s{id}"),
        };
        let switch = &lan.switch;
        ip(&format!("netns add {switch}"))?;
        ip(&format!("-n {switch} link add switch type bridge"))?;
        ip(&format!("-n {switch} link set switch up"))?;
        for (at, name) in lan.names.iter().enumerate() {
            ip(&format!("netns add {name}"))?;
            ip(&format!(
                "-n {name} link add lan0 type veth peer name port{at} netns {switch}"
            ))?;
            ip(&format!("-n {switch} link set port{at} master switch up"))?;
            ip(&format!("-n {name} addr add 10.77.7.{}/24 dev lan0", at + 1))?;
            ip(&format!("-n {name} link set lan0 up"))?;
            ip(&format!("-n {name} link set lo up"))?;
            ip(&format!("-n {name} route add default dev lan0"))?;
        }
        Ok(lan)
    }

    /// From now on the two reach each other no more, but both reach whoever is between them, at `10.77.7.3`: the namespace whose
    /// name this gives.
    pub(crate) fn keep_apart(&self) -> String {
        let switch = &self.switch;
        let lay = |what: String| ip(&what).expect("the switch is there");
        lay(format!("-n {switch} addr add 10.77.7.3/24 dev switch"));
        lay(format!("-n {switch} link set lo up"));
        for port in 0..2 {
            // Ports that are isolated exchange nothing with each other (ip-link(8), bridge_slave).
            lay(format!(
                "-n {switch} link set port{port} type bridge_slave isolated on"
            ));
        }
        switch.clone()
    }

    /// Pulls the cable of the second namespace, or plugs it in.
    pub(crate) fn part(&self, parted: bool) {
        let state = if parted { "down" } else { "up" };
        ip(&format!("-n {} link set port1 {state}", self.switch)).expect("the switch is there");
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        for name in self.names.iter().chain([&self.switch]) {
            let _ = ip(&format!("netns del {name}"));
        }
    }
}

/// A [`Lan`] for the test `name`; says so loudly if there can be none here.
pub(crate) fn lan_for(name: &str) -> Option<Lan> {
    match Lan::lay() {
        Ok(lan) => Some(lan),
        Err(why) => {
            skipped(name, &why);
            None
        }
    }
}
