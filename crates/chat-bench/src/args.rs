//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::ensure;
use chat_core::limits::TEXT_BYTES_MAX;
use chat_proto::Codec;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::limits::{
    CONNECTING, CONNECTIONS_MAX, DURATION_S_MAX, RATE_MAX, THREADS_MAX, WINDOW_MAX,
};
use crate::marker::MARKER_BYTES;
use crate::plan::Plan;
use crate::wire::Target;

/// Loads chat servers, measures them, and checks that every message reaches everybody once, in order.
///
/// The exit status is 1 if anything was lost, doubled or out of order, and 2 if it could not be run.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) scenario: Scenario,
    /// What holds for all of them.
    #[command(flatten)]
    pub(crate) common: Common,
}

/// What holds for all scenarios.
#[derive(Debug, Clone, Args)]
pub(crate) struct Common {
    /// A server, such as ws://127.0.0.1:8080/ws or wss://localhost:8443/ws. May be repeated: connections go round them
    #[arg(long, global = true, default_value = "ws://127.0.0.1:8080/ws")]
    url: Vec<String>,
    /// For wss: trust the certificates in this file (PEM) instead of the system's
    #[arg(long, global = true, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Load servers of other machines, too. They must be yours
    #[arg(long, global = true)]
    allow_remote: bool,
    /// How frames are written
    #[arg(long, global = true, value_enum, default_value_t = CodecName::Json)]
    codec: CodecName,
    /// Threads; connections are shared out among them
    #[arg(long, global = true, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=i64::from(THREADS_MAX)))]
    threads: u32,
    /// How long it is measured, in seconds
    #[arg(long, global = true, default_value = "5", value_parser = seconds)]
    pub(crate) duration: Duration,
    /// How long messages flow before that, in seconds
    #[arg(long, global = true, default_value = "0.5", value_parser = seconds)]
    pub(crate) warmup: Duration,
    /// How long everybody may take to connect, in seconds
    #[arg(long, global = true, default_value = "60", value_parser = seconds)]
    pub(crate) connect_timeout: Duration,
    /// How long the last messages may take to arrive, in seconds
    #[arg(long, global = true, default_value = "10", value_parser = seconds)]
    pub(crate) drain_timeout: Duration,
    /// Connections that are being made at once
    #[arg(long, global = true, default_value_t = CONNECTING, value_parser = clap::value_parser!(u32).range(1..=i64::from(CONNECTIONS_MAX)))]
    connecting: u32,
    /// Bytes of a message's text
    #[arg(long, global = true, default_value_t = 128, value_parser = text_bytes)]
    bytes: usize,
    /// Process of a server on this machine, to measure its CPU time and memory. May be repeated
    #[arg(long, global = true, value_name = "PID")]
    pub(crate) server_pid: Vec<u32>,
    /// Print one JSON object instead of text
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// No progress on stderr
    #[arg(long, global = true)]
    pub(crate) quiet: bool,
}

/// What to do.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Scenario {
    /// Rooms, members and messages: how many deliveries, how fast
    Fanout(Fanout),
    /// One message at a time, to one receiver on each server but the first: how fast
    Pingpong(Pingpong),
    /// Many connections that do nothing: memory of each, connects with join per second
    Idle(Idle),
    /// Everybody drops and comes back at once while messages flow: how long until all caught up
    Storm(Storm),
    /// A crowd alone, then beside one sender who floods the server: how much slower it is for the crowd
    Noisy(Noisy),
}

/// Rooms, members and messages.
#[derive(Debug, Clone, Args)]
pub(crate) struct Fanout {
    /// Rooms
    #[arg(long, default_value_t = 1)]
    rooms: u32,
    /// Connections joined to each room
    #[arg(long, default_value_t = 10)]
    members: u32,
    /// Publishers of each room
    #[arg(long, default_value_t = 1)]
    publishers: u32,
    /// Publishers are connections of their own, which do not join
    #[arg(long)]
    separate_publishers: bool,
    /// Messages per second and room; 0 means as fast as acks allow
    #[arg(long, default_value_t = 0.0, value_parser = rate)]
    rate: f64,
    /// Sends without an ack of each publisher
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=i64::from(WINDOW_MAX)))]
    window: u32,
}

/// A crowd, and one sender who floods the server with messages in a room of his own.
#[derive(Debug, Clone, Args)]
pub(crate) struct Noisy {
    /// Rooms of the crowd
    #[arg(long, default_value_t = 10)]
    rooms: u32,
    /// Connections joined to each room
    #[arg(long, default_value_t = 10)]
    members: u32,
    /// Messages per second and room
    #[arg(long, default_value_t = 5.0, value_parser = rate)]
    rate: f64,
    /// Sends of the flood that have no answer; each is tried again 20 times a second
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=i64::from(WINDOW_MAX)))]
    pub(crate) flood_window: u32,
}

/// One message at a time, from somebody who has joined, as whoever speaks in a chat has: what he
/// hears himself is not measured.
#[derive(Debug, Clone, Args)]
pub(crate) struct Pingpong {
    /// Messages per second
    #[arg(long, default_value_t = 200.0, value_parser = rate)]
    rate: f64,
}

/// Many connections that do nothing.
#[derive(Debug, Clone, Args)]
pub(crate) struct Idle {
    /// Connections
    #[arg(long, default_value_t = 1_000)]
    connections: u32,
    /// Connections joined to each room
    #[arg(long, default_value_t = 10)]
    room_size: u32,
}

/// Everybody drops and comes back.
#[derive(Debug, Clone, Args)]
pub(crate) struct Storm {
    /// Connections that drop and resume
    #[arg(long, default_value_t = 500)]
    clients: u32,
    /// Connections joined to each room
    #[arg(long, default_value_t = 50)]
    room_size: u32,
    /// Messages per second and room, all the time
    #[arg(long, default_value_t = 20.0, value_parser = rate)]
    rate: f64,
    /// How long everybody is away, in seconds
    #[arg(long, default_value = "0.5", value_parser = seconds)]
    pub(crate) away: Duration,
    /// How often
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) rounds: u32,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum CodecName {
    Json,
    Msgpack,
}

impl Scenario {
    /// Its name.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Fanout(_) => "fanout",
            Self::Pingpong(_) => "pingpong",
            Self::Idle(_) => "idle",
            Self::Storm(_) => "storm",
            Self::Noisy(_) => "noisy",
        }
    }
}

impl Cli {
    /// Who sits where.
    ///
    /// # Errors
    /// It makes no sense, or is too much.
    pub(crate) fn plan(&self) -> anyhow::Result<Plan> {
        let common = &self.common;
        let target = |url: &String| Target::parse(url, common.allow_remote, common.ca.as_deref());
        let targets: Vec<_> = common.url.iter().map(target).collect::<Result<_, _>>()?;
        let mut plan = Plan {
            run: fastrand::u64(..),
            people: "bench",
            codec: match common.codec {
                CodecName::Json => Codec::Json,
                CodecName::Msgpack => Codec::MsgPack,
            },
            rooms: 1,
            members: 1,
            publishers: 1,
            separate: false,
            speakers_join: false,
            rate: None,
            window: WINDOW_MAX,
            bytes: common.bytes,
            threads: common.threads,
            connecting: common.connecting.div_ceil(common.threads),
            targets,
        };
        self.scenario.shape(&mut plan)?;
        let of_a_room = u64::from(plan.members) + u64::from(plan.publishers);
        ensure!(
            u64::from(plan.rooms) * of_a_room <= 2 * u64::from(CONNECTIONS_MAX)
                && plan.connections() <= CONNECTIONS_MAX,
            "more than {CONNECTIONS_MAX} connections"
        );
        Ok(plan)
    }
}

impl Scenario {
    fn shape(&self, plan: &mut Plan) -> anyhow::Result<()> {
        match self {
            Self::Fanout(fanout) => {
                plan.rooms = fanout.rooms;
                plan.members = fanout.members;
                plan.publishers = fanout.publishers;
                plan.separate = fanout.separate_publishers;
                plan.rate = (fanout.rate > 0.0).then_some(fanout.rate);
                plan.window = fanout.window;
                ensure!(
                    plan.separate || plan.publishers <= plan.members,
                    "more publishers than members: --separate-publishers gives them connections"
                );
            }
            Self::Pingpong(pingpong) => {
                plan.members = u32::try_from(plan.targets.len())?.max(2) - 1;
                plan.separate = true;
                plan.speakers_join = true;
                ensure!(pingpong.rate > 0.0, "--rate must be above 0");
                plan.rate = Some(pingpong.rate);
            }
            Self::Idle(idle) => {
                share_out(plan, idle.connections, idle.room_size)?;
                // One message each, to see that everybody still listens.
                plan.window = 1;
                plan.rate = Some(1.0);
            }
            Self::Noisy(noisy) => {
                (plan.rooms, plan.members) = (noisy.rooms, noisy.members);
                ensure!(noisy.rate > 0.0, "--rate must be above 0");
                plan.rate = Some(noisy.rate);
            }
            Self::Storm(storm) => {
                share_out(plan, storm.clients, storm.room_size)?;
                plan.separate = true;
                ensure!(storm.rate > 0.0, "--rate must be above 0");
                plan.rate = Some(storm.rate);
            }
        }
        ensure!(
            plan.rooms > 0 && plan.members > 0 && plan.publishers > 0,
            "rooms, members and publishers must be above 0"
        );
        Ok(())
    }
}

fn share_out(plan: &mut Plan, connections: u32, room_size: u32) -> anyhow::Result<()> {
    ensure!(room_size > 0, "--room-size must be above 0");
    plan.members = room_size.min(connections);
    ensure!(
        plan.members > 0 && connections.is_multiple_of(plan.members),
        "{connections} connections do not fill rooms of {room_size}"
    );
    plan.rooms = connections / plan.members;
    Ok(())
}

fn seconds(text: &str) -> Result<Duration, String> {
    let number = text.strip_suffix('s').unwrap_or(text).parse::<f64>();
    match number {
        Ok(seconds) if (0.0..=DURATION_S_MAX).contains(&seconds) => {
            Ok(Duration::from_secs_f64(seconds))
        }
        _ => Err(format!(
            "not a number of seconds from 0 to {DURATION_S_MAX}"
        )),
    }
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if (0.0..=RATE_MAX).contains(&rate) => Ok(rate),
        _ => Err(format!("not a number from 0 to {RATE_MAX}")),
    }
}

fn text_bytes(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(bytes) if (MARKER_BYTES..=TEXT_BYTES_MAX).contains(&bytes) => Ok(bytes),
        _ => Err(format!(
            "not a number from {MARKER_BYTES} to {TEXT_BYTES_MAX}"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(line: &str) -> anyhow::Result<Plan> {
        Cli::try_parse_from(line.split(' '))?.plan()
    }

    #[test]
    fn defaults_are_small_and_stay_on_this_machine() {
        for scenario in ["fanout", "pingpong", "idle", "storm"] {
            let plan = plan(&format!("chat-bench {scenario}")).unwrap();
            assert!(plan.connections() <= 1_000, "{scenario}");
        }
        assert!(plan("chat-bench idle --url ws://192.0.2.1/ws").is_err());
    }

    #[test]
    fn fanout_is_as_fast_as_acks_allow_unless_told_otherwise() {
        let plan = plan("chat-bench fanout --rooms 100 --members 10").unwrap();
        assert_eq!((plan.rooms, plan.members, plan.rate), (100, 10, None));
    }

    #[test]
    fn pingpong_has_a_receiver_on_each_server_but_the_publishers() {
        let urls = "--url ws://127.0.0.1:1/ws --url ws://127.0.0.1:2/ws --url ws://127.0.0.1:3/ws";
        let seats = plan(&format!("chat-bench pingpong {urls}"))
            .unwrap()
            .seats();
        let targets: Vec<_> = seats
            .iter()
            .map(|seat| (seat.target, seat.measured))
            .collect();
        assert_eq!(targets, [(1, true), (2, true), (0, false)]);
        assert!(seats.iter().all(|seat| seat.joins));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for line in [
            "chat-bench fanout --members 2 --publishers 3",
            "chat-bench fanout --rooms 0",
            "chat-bench fanout --rooms 100000 --members 100000",
            "chat-bench idle --connections 15 --room-size 10",
            "chat-bench idle --connections 0",
            "chat-bench pingpong --rate 0",
            "chat-bench fanout --bytes 9000",
            "chat-bench fanout --duration -1",
            "chat-bench fanout --duration 1e9",
            "chat-bench fanout --threads 0",
        ] {
            assert!(plan(line).is_err(), "{line}");
        }
    }
}
