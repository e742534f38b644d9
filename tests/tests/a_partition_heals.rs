//! A network in two parts: each side goes on and puts somebody out, and both are one meeting again when it heals.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{
    Scratch,
    hearing::{babble, write_clip},
    lan::lan_for,
    member::{Member, Options},
};

/// Within so long after healing everybody has one roster: the promise is 5 s, beside what it takes to notice.
const HEALED_WITHIN: Duration = Duration::from_secs(8);

fn removal_of<'a>(victim: &'a str) -> impl FnMut(&Value) -> bool + 'a {
    move |e| e["event"] == "member" && e["state"] == "removed" && e["id"] == victim
}

fn received(listener: &Member, speaker: &Member) -> u64 {
    listener.reception(&speaker.id(), "received")
}

#[test]
fn both_sides_of_a_partition_put_somebody_out_and_meet_again() {
    let Some(lan) = lan_for("both_sides_of_a_partition_put_somebody_out_and_meet_again") else {
        return;
    };
    let home = Scratch::new();
    let clip = home.path().join("clip.wav");
    write_clip(&clip, &babble("alice", 90.0));
    let on = |at: usize, options: Options| Options {
        namespace: Some(lan.names[at].clone()),
        ..options.with(&["--listen", "0.0.0.0:0"])
    };
    let policy = ["--policy", "direct"];
    let mut host = Member::found(&home, "host", &on(0, Options::says(&clip).with(&policy)));
    let ticket = host.ticket();
    let join = |name: &str, at: usize| Member::join(&home, name, &ticket, &on(at, Options::silent()));
    let (near, here) = (join("near", 0), join("here", 0));
    let (mut deputy, far, there) = (join("deputy", 1), join("far", 1), join("there", 1));
    for member in [&near, &here, &deputy, &far, &there] {
        member.wait_connected(5);
    }
    let (mark, id) = (deputy.mark(), deputy.id());
    host.command(&json!({"cmd": "role", "member": id, "role": "co_host"}));
    deputy.wait_since(mark, "appointment", |e| {
        e["event"] == "member" && e["id"] == id && e["role"] == "co_host"
    });

    lan.part(true);
    // Long enough for everybody to see that the others are gone.
    std::thread::sleep(Duration::from_secs(6));
    let before = received(&near, &host);
    host.about("remove", &here.id());
    deputy.about("remove", &there.id());
    for (member, victim) in [(&near, &here), (&far, &there)] {
        member.wait("removal", removal_of(&victim.id()));
    }
    std::thread::sleep(Duration::from_secs(3));
    assert!(received(&near, &host) > before + 50, "{}", near.story());
    let cut = received(&far, &host);

    let (marks, healed) = (
        [&host, &near, &deputy, &far].map(|member| member.mark()),
        Instant::now(),
    );
    lan.part(false);
    let codes: Vec<String> = [&host, &near, &deputy, &far]
        .iter()
        .zip(marks)
        .map(|(member, mark)| {
            let said = member.wait_since(mark, "one roster of four", |e| {
                e["event"] == "safety_code" && e["members"] == 4
            });
            said.event["safety_code"].as_str().unwrap_or_default().to_owned()
        })
        .collect();
    let took = healed.elapsed();
    println!("one roster {:.1} s after the network healed", took.as_secs_f64());
    assert!(codes.iter().all(|code| *code == codes[0]), "{codes:?}");
    for (member, victims) in [(&host, &there), (&near, &there), (&deputy, &here), (&far, &here)] {
        member.wait("the other side's removal", removal_of(&victims.id()));
    }
    // Whoever was beyond hears the host again, under a key of now.
    let again = Instant::now();
    while received(&far, &host) < cut + 50 {
        assert!(again.elapsed() < Duration::from_secs(10), "{}", far.story());
        std::thread::sleep(Duration::from_millis(200));
    }
    assert!(took < HEALED_WITHIN, "{took:?}");
}
