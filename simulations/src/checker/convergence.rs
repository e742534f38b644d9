//! In the end everybody who is in sees the same people and the same safety code.

use subrosa_proto::{ids::MemberId, meeting::participant::Participant, time::Timestamp};

use super::Violations;

/// See the module.
pub(super) struct Convergence {
    codes: Vec<Option<String>>,
}

impl Convergence {
    pub(super) fn new(nodes: usize) -> Self {
        Self {
            codes: vec![None; nodes],
        }
    }

    pub(super) fn code(&mut self, node: usize, code: &str) {
        self.codes[node] = Some(code.to_owned());
    }

    pub(super) fn crashed(&mut self, node: usize) {
        self.codes[node] = None;
    }

    pub(super) fn finish(
        &self,
        at: Timestamp,
        nodes: &[Option<&Participant>],
        ids: &[MemberId],
        expected: &[String],
        violations: &mut Violations,
        names: &[String],
    ) {
        let name = |member: &MemberId| {
            let index = ids.iter().position(|id| id == member);
            index.map_or_else(|| member.fingerprint(), |index| names[index].clone())
        };
        let mut want: Vec<String> = expected.to_vec();
        want.sort();
        let mut codes: Vec<(&String, &String)> = Vec::new();
        for (index, participant) in nodes.iter().enumerate() {
            let Some(participant) = participant.filter(|participant| participant.is_member()) else {
                if want.contains(&names[index]) {
                    let what = format!("{} is not in at the end", names[index]);
                    violations.add(at, "convergence", &what);
                }
                continue;
            };
            let mut sees: Vec<String> = participant.roster().members.keys().map(name).collect();
            sees.sort();
            if !want.is_empty() && sees != want {
                let what = format!("{} sees {sees:?} instead of {want:?}", names[index]);
                violations.add(at, "convergence", &what);
            }
            match &self.codes[index] {
                Some(code) => codes.push((&names[index], code)),
                None => {
                    let what = format!("{} was told no safety code", names[index]);
                    violations.add(at, "convergence", &what);
                }
            }
        }
        if let Some((first, code)) = codes.first()
            && let Some((other, theirs)) = codes.iter().find(|(_, theirs)| theirs != code)
        {
            let what = format!("{first} sees the safety code {code}, {other} sees {theirs}");
            violations.add(at, "convergence", &what);
        }
    }
}
