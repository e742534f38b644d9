//! Three network namespaces on one network: the relay, a call, and whoever attacks. Needs root and iproute2.

use std::process::{Command, Stdio};

use serde_json::Value;

/// Where the relay listens.
pub(super) const RELAY: &str = "10.77.0.1:4433";
/// What the call's sockets are bound to.
pub(super) const CALL: &str = "10.77.1.2:0";
/// Address blocks (/24) of which the attackers have real addresses: `10.77.B.2`.
pub(super) const BLOCKS: std::ops::Range<u8> = 100..140;

/// They go with this value.
pub(super) struct Lan {
    pub(super) relay: String,
    pub(super) call: String,
    pub(super) attack: String,
    switch: String,
}

fn ip(arguments: &str) -> Result<Vec<u8>, String> {
    let output = Command::new("ip")
        .args(arguments.split_whitespace())
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("ip: {error}"))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let why = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(format!("ip {arguments}: {why}"))
}

impl Lan {
    /// Makes it.
    ///
    /// # Errors
    /// What is missing on this machine.
    pub(super) fn lay() -> Result<Self, String> {
        let name = |what: &str| format!("subrosa-{what}{}", std::process::id());
        let lan = Self {
            relay: name("r"),
            call: name("c"),
            attack: name("a"),
            switch: name("s"),
        };
        let switch = &lan.switch;
        ip(&format!("netns add {switch}"))?;
        ip(&format!("-n {switch} link add switch type bridge"))?;
        ip(&format!("-n {switch} link set switch up"))?;
        for (at, name) in [&lan.relay, &lan.call, &lan.attack].into_iter().enumerate() {
            ip(&format!("netns add {name}"))?;
            ip(&format!(
                "-n {name} link add lan0 type veth peer name port{at} netns {switch}"
            ))?;
            ip(&format!("-n {switch} link set port{at} master switch up"))?;
            ip(&format!("-n {name} link set lan0 up"))?;
            ip(&format!("-n {name} link set lo up"))?;
        }
        ip(&format!("-n {} addr add 10.77.0.1/16 dev lan0", lan.relay))?;
        ip(&format!("-n {} addr add 10.77.1.2/16 dev lan0", lan.call))?;
        for block in BLOCKS {
            ip(&format!("-n {} addr add 10.77.{block}.2/16 dev lan0", lan.attack))?;
        }
        // Answers to forged addresses leave the relay as they would towards the Internet, or they would not be counted.
        let relay = &lan.relay;
        ip(&format!(
            "-n {relay} neigh add 10.77.255.254 lladdr 02:00:00:00:00:fe nud permanent dev lan0"
        ))?;
        ip(&format!("-n {relay} route add default via 10.77.255.254"))?;
        ip(&format!("-n {} route add default dev lan0", lan.attack))?;
        Ok(lan)
    }

    /// Bytes that the relay's interface received and sent.
    pub(super) fn relay_bytes(&self) -> [f64; 2] {
        let told = ip(&format!("-n {} -s -j link show lan0", self.relay)).expect("the namespace is there");
        let told: Value = serde_json::from_slice(&told).expect("JSON");
        ["rx", "tx"].map(|way| {
            let bytes = told[0]["stats64"][way]["bytes"].as_f64();
            bytes.expect("iproute2 counts")
        })
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        for name in [&self.relay, &self.call, &self.attack, &self.switch] {
            let _ = ip(&format!("netns del {name}"));
        }
    }
}
