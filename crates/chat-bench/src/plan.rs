//! Who sits where: connections, rooms, servers and publishers of a run.

use chat_core::{RoomId, UserId};
use chat_proto::Codec;

use crate::publisher::Pace;
use crate::wire::Target;

/// What a run consists of.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// Tells this run's rooms and messages from another one's.
    pub(crate) run: u64,
    /// What its users' names begin with.
    pub(crate) people: &'static str,
    /// How frames are written.
    pub(crate) codec: Codec,
    /// The servers; connections go round them.
    pub(crate) targets: Vec<Target>,
    /// Rooms.
    pub(crate) rooms: u32,
    /// Connections joined to each room.
    pub(crate) members: u32,
    /// Publishers of each room.
    pub(crate) publishers: u32,
    /// Whether publishers have connections of their own. What these hear is not measured.
    pub(crate) separate: bool,
    /// Whether connections of publishers join too, as whoever speaks in a chat has.
    pub(crate) speakers_join: bool,
    /// Messages per second and room; nothing means as fast as answers allow.
    pub(crate) rate: Option<f64>,
    /// Sends without an answer, per publisher.
    pub(crate) window: u32,
    /// Bytes of a message's text.
    pub(crate) bytes: usize,
    /// Threads.
    pub(crate) threads: u32,
    /// Connections that are being made at once, on each thread.
    pub(crate) connecting: u32,
}

/// One connection.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Seat {
    /// Its number in the run.
    pub(crate) connection: u32,
    /// Its room.
    pub(crate) room: u32,
    /// Its server.
    pub(crate) target: usize,
    /// Whether it joins the room.
    pub(crate) joins: bool,
    /// Whether the time until it hears a message counts.
    pub(crate) measured: bool,
    /// Its number among publishers, and how it publishes.
    pub(crate) publishes: Option<(u32, Pace)>,
}

impl Plan {
    /// Connections that make up the rooms, publishers' own left out.
    pub(crate) fn joining(&self) -> u32 {
        self.rooms * self.members
    }

    /// Connections of each room that hear its messages.
    pub(crate) fn hearers(&self) -> u32 {
        self.members
            + if self.speakers_join {
                self.publishers
            } else {
                0
            }
    }

    /// All connections.
    pub(crate) fn connections(&self) -> u32 {
        self.joining()
            + if self.separate {
                self.all_publishers()
            } else {
                0
            }
    }

    fn all_publishers(&self) -> u32 {
        self.rooms * self.publishers
    }

    /// The seats. Members of a room are spread over the servers; publishers of their own sit with
    /// the server before their room's first member, so that what they say crosses over.
    pub(crate) fn seats(&self) -> Vec<Seat> {
        let targets = self.targets.len();
        let members = (0..self.joining()).map(|connection| {
            let (room, member) = (connection / self.members, connection % self.members);
            let publishes = !self.separate && member < self.publishers;
            Seat {
                connection,
                room,
                target: (connection as usize + 1) % targets,
                joins: true,
                measured: true,
                publishes: publishes.then(|| self.publisher(room, member)),
            }
        });
        let separate = (self.joining()..self.connections()).map(|connection| {
            let publisher = connection - self.joining();
            let (room, member) = (publisher / self.publishers, publisher % self.publishers);
            Seat {
                connection,
                room,
                target: (room * self.members) as usize % targets,
                joins: self.speakers_join,
                measured: false,
                publishes: Some(self.publisher(room, member)),
            }
        });
        members.chain(separate).collect()
    }

    /// Publishers take turns, so that a room's messages come at even distances, and those of all
    /// rooms too.
    fn publisher(&self, room: u32, member: u32) -> (u32, Pace) {
        let number = member * self.rooms + room;
        let pace = self.rate.map_or(Pace::Answers, |rate| {
            let interval_ns = 1e9 * f64::from(self.publishers) / rate;
            let share = f64::from(number) / f64::from(self.all_publishers());
            Pace::Schedule {
                first_ns: interval_ns * share,
                interval_ns,
            }
        });
        (number, pace)
    }

    /// A room's name: new in every run, so that its log begins with it.
    pub(crate) fn room(&self, room: u32) -> RoomId {
        RoomId::new(format!("bench-{:016x}-{room}", self.run)).expect("a name within its limits")
    }

    /// A connection's user.
    pub(crate) fn user(&self, connection: u32) -> UserId {
        UserId::new(format!("{}-{connection}", self.people)).expect("a name within its limits")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(servers: usize) -> Plan {
        let target = Target::parse("ws://127.0.0.1:1/ws", false, None).unwrap();
        Plan {
            run: 1,
            people: "bench",
            codec: Codec::Json,
            targets: vec![target; servers],
            rooms: 3,
            members: 4,
            publishers: 2,
            separate: false,
            speakers_join: false,
            rate: Some(100.0),
            window: 1,
            bytes: 128,
            threads: 1,
            connecting: 1,
        }
    }

    #[test]
    fn publishers_are_members_and_take_turns() {
        let seats = plan(1).seats();
        assert_eq!(seats.len(), 12);
        let mut firsts: Vec<_> = seats.iter().filter_map(|seat| seat.publishes).collect();
        firsts.sort_by_key(|(number, _)| *number);
        let expected = |number: u32| {
            let interval_ns = 2e9 / 100.0;
            let first_ns = interval_ns * (f64::from(number) / 6.0);
            (
                number,
                Pace::Schedule {
                    first_ns,
                    interval_ns,
                },
            )
        };
        assert_eq!(firsts, (0..6).map(expected).collect::<Vec<_>>());
    }

    #[test]
    fn each_room_is_spread_over_all_servers() {
        for room in 0..3 {
            let seats = plan(2).seats();
            let there = |target| {
                seats
                    .iter()
                    .filter(|seat| (seat.room, seat.target) == (room, target))
                    .count()
            };
            assert_eq!((there(0), there(1)), (2, 2));
        }
    }

    #[test]
    fn separate_publishers_have_connections_that_do_not_join() {
        let plan = Plan {
            separate: true,
            members: 1,
            publishers: 1,
            ..plan(2)
        };
        let seats = plan.seats();
        let (members, publishers) = seats.split_at(3);
        assert_eq!(publishers.len(), 3);
        assert!(
            members
                .iter()
                .all(|seat| seat.joins && seat.measured && seat.publishes.is_none())
        );
        assert!(
            publishers
                .iter()
                .all(|seat| !seat.joins && !seat.measured && seat.publishes.is_some())
        );
        for (member, publisher) in members.iter().zip(publishers) {
            assert_ne!(member.target, publisher.target);
        }
    }
}
