//! The limit: one thread that receives a datagram and sends it to each listener with one system call each.

use std::{
    io::BufRead,
    net::{SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

use crate::process::Child;

/// Reads the listeners' addresses from standard input, then forwards for ever.
pub(crate) fn serve() {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    println!("{}", socket.local_addr().expect("an address"));
    let mut line = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut line)
        .expect("the listeners");
    let listeners: Vec<SocketAddr> = line.split_whitespace().filter_map(|a| a.parse().ok()).collect();
    println!("ready");
    // Ends with the process that started it.
    std::thread::spawn(|| {
        let _ = std::io::stdin().lock().read_line(&mut String::new());
        std::process::exit(0);
    });
    let mut buffer = [0; 2_048];
    let mut forwarded = 0_u64;
    loop {
        let Ok(len) = socket.recv(&mut buffer) else {
            continue;
        };
        if len == 1 {
            println!("{forwarded}");
            continue;
        }
        for listener in &listeners {
            let _ = socket.send_to(&buffer[..len], listener);
        }
        forwarded += listeners.len() as u64;
    }
}

/// Frames per CPU-second of the bare forwarder at saturation.
pub(crate) fn measure(bytes: usize, listeners: usize, run: Duration) -> f64 {
    let mut child = Child::spawn("raw");
    let sockets: Vec<UdpSocket> = (0..listeners)
        .map(|_| UdpSocket::bind("127.0.0.1:0").expect("a free port"))
        .collect();
    let addresses: Vec<String> = sockets
        .iter()
        .map(|s| s.local_addr().expect("an address").to_string())
        .collect();
    child.ask(&addresses.join(" "));
    for socket in &sockets {
        socket.set_nonblocking(true).expect("a socket option");
    }
    let sender = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    sender.connect(child.address()).expect("the loopback interface");
    let frame = vec![7; bytes];
    let mut buffer = vec![0; 2_048];
    let (start, cpu) = (Instant::now(), child.cpu());
    let mut received = 0_u64;
    while start.elapsed() < run {
        for _ in 0..8 {
            let _ = sender.send(&frame);
        }
        // Listeners that nobody empties would make sending look cheap.
        for socket in &sockets {
            while socket.recv(&mut buffer).is_ok() {
                received += 1;
            }
        }
    }
    let cpu = child.cpu().checked_sub(cpu).expect("a process's CPU time grows");
    std::thread::sleep(Duration::from_millis(300));
    let _ = sender.send(&[0]);
    let forwarded: f64 = child.read_line().trim().parse().unwrap_or(received as f64);
    forwarded / cpu.as_secs_f64()
}
