//! What the benchmark asks of Linux: cores, priority, sockets with time stamps, CPU time of others.

use std::{
    fs,
    io::{self, IoSliceMut},
    os::fd::AsRawFd,
    process::{Child, Command},
};

use anyhow::Context;
use bakeoff_runner::clock::{self, Nanos, SECOND};
use mio::net::{TcpListener, TcpStream};
use nix::{
    cmsg_space,
    sys::{
        socket::{
            Backlog, ControlMessageOwned, MsgFlags, recvmsg, setsockopt,
            sockopt::ReceiveTimestampns,
        },
        time::TimeSpec,
    },
};
use rustix::{
    process::setpriority_process,
    thread::{CpuSet, sched_getaffinity, sched_setaffinity},
    time::{ClockId, clock_gettime},
};

/// Before others, where this process may: on a shared machine.
const PRIORITY: i32 = -20;

/// The unit of times in `/proc` (USER_HZ), the same on every architecture that Rust knows but Alpha.
const TICKS_PER_SECOND: f64 = 100.0;

/// The first two cores that this process may use: the server's and the client's.
pub fn two_cores() -> anyhow::Result<(usize, usize)> {
    let allowed = sched_getaffinity(None)?;
    let mut cores = (0..CpuSet::MAX_CPU).filter(|&core| allowed.is_set(core));
    cores
        .next()
        .zip(cores.next())
        .context("two cores are needed: one for the server and one for the client")
}

/// Binds the calling thread, and what it starts, to a core, and puts it before others where that
/// is allowed.
pub fn pin_this_thread(core: usize) {
    stay_on(core);
    let _ = setpriority_process(None, PRIORITY);
}

/// Binds the calling thread to a core, at the priority that it has.
pub fn stay_on(core: usize) {
    let mut set = CpuSet::new();
    set.set(core);
    let _ = sched_setaffinity(None, &set);
}

/// Starts a program on a core.
pub fn start_on(core: usize, mut command: Command) -> anyhow::Result<Child> {
    // A program inherits core and priority from the thread that starts it.
    let starter = std::thread::spawn(move || {
        pin_this_thread(core);
        command.spawn()
    });
    match starter.join() {
        Ok(child) => Ok(child?),
        Err(_) => anyhow::bail!("the thread that starts programs panicked"),
    }
}

/// A socket that listens on a port of the loopback, with room for many at once.
pub fn listener() -> anyhow::Result<TcpListener> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    // Listening again changes the length of the queue.
    nix::sys::socket::listen(&listener, Backlog::new(4096)?)?;
    listener.set_nonblocking(true)?;
    Ok(TcpListener::from_std(listener))
}

/// Has the kernel stamp what arrives on a socket (socket(7), SO_TIMESTAMPNS).
pub fn stamp_arrivals(socket: &TcpStream) -> io::Result<()> {
    Ok(setsockopt(socket, ReceiveTimestampns, &true)?)
}

/// Reads from a socket, and tells when the last of it reached the kernel.
pub fn receive(socket: &TcpStream, buffer: &mut [u8]) -> io::Result<(usize, Nanos)> {
    let mut control = cmsg_space!(TimeSpec);
    let mut slices = [IoSliceMut::new(buffer)];
    let received = recvmsg::<()>(
        socket.as_raw_fd(),
        &mut slices,
        Some(&mut control),
        MsgFlags::empty(),
    )?;
    let now = clock::now();
    let stamp = received.cmsgs()?.find_map(|message| match message {
        ControlMessageOwned::ScmTimestampns(stamp) => Some(stamp),
        _ => None,
    });
    // The stamp is by the wall clock: what counts is how long ago it was.
    let ago = stamp.map_or(0, |stamp| {
        let wall = clock_gettime(ClockId::Realtime);
        (wall.tv_sec - stamp.tv_sec()) * SECOND.cast_signed() + (wall.tv_nsec - stamp.tv_nsec())
    });
    let arrived = now.saturating_sub(u64::try_from(ago).unwrap_or(0));
    Ok((received.bytes, arrived))
}

/// CPU time and memory of a program so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// CPU seconds of all its threads, to a hundredth.
    pub cpu: f64,
    /// Greatest resident set in bytes.
    pub peak_memory: u64,
}

/// What `/proc` says of a program (proc_pid_stat(5), proc_pid_status(5)).
pub fn usage(process: u32) -> Option<Usage> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // Fields 14 and 15; the second one, in brackets, may hold spaces.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let ticks: u64 = fields.next()?.parse().ok()?;
    let ticks = ticks + fields.next()?.parse::<u64>().ok()?;
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak: u64 = peak?.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(Usage {
        cpu: ticks as f64 / TICKS_PER_SECOND,
        peak_memory: peak * 1024,
    })
}
