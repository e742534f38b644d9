//! Two machines on one network behind one NAT, in an [`Internet`].

use super::{
    lan::ip,
    nat::{Internet, Nat, feed, forward},
};

impl Internet {
    /// Two machines that reach each other on their own network, and all others through a router at 198.51.100.`number`.
    ///
    /// # Errors
    /// What is missing on this machine.
    pub(crate) fn neighbours(&mut self, number: u8) -> Result<(String, String), String> {
        let router = self.add(&format!("r{number}"))?;
        self.connect(&router, number)?;
        ip(&format!("-n {router} link add lan type bridge"))?;
        ip(&format!("-n {router} addr add 10.9.{number}.1/24 dev lan"))?;
        ip(&format!("-n {router} link set lan up"))?;
        let mut host = |last: u8| {
            let host = self.add(&format!("h{number}x{last}"))?;
            ip(&format!(
                "-n {host} link add lan type veth peer name lan{last} netns {router}"
            ))?;
            ip(&format!("-n {host} link set lan up"))?;
            ip(&format!("-n {router} link set lan{last} master lan up"))?;
            ip(&format!("-n {host} addr add 10.9.{number}.{last}/24 dev lan"))?;
            ip(&format!("-n {host} route add default via 10.9.{number}.1"))?;
            Ok::<_, String>(host)
        };
        let hosts = (host(2)?, host(3)?);
        forward(&router)?;
        feed(&router, &Nat::PortRestricted.rules(&format!("10.9.{number}.2")))?;
        Ok(hosts)
    }
}
