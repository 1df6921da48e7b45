//! Whatever was lost on the way, counts are right afterwards, and who watches is told.

use chat_core::RoomLog as _;
use chat_testkit::faults::EnvelopeFaults;

use super::*;

#[test]
fn messages_that_came_while_the_link_was_cut_are_notified_when_it_is_back() {
    run(async {
        let (cluster, mut ann, mut ben) = two().await;
        ben.say(&room(), "1").await;
        assert_eq!(ann.told().await, ["1: 1/0"]);
        cluster.nodes[0].link.cut();
        ben.say(&room(), "2").await;
        ben.say(&room(), "3").await;
        assert_eq!(ann.told().await, [""; 0]);
        cluster.nodes[0].link.restore();
        assert_eq!(ann.told().await, ["2: 2/0", "3: 3/0"]);
    });
}

#[test]
fn what_another_device_read_while_the_link_was_cut_is_told_when_it_is_back() {
    run(async {
        let (cluster, mut phone, mut ben) = two().await;
        let mut laptop = Person::connect(&cluster, 1, "ann").await;
        ben.say(&room(), "1").await;
        ben.say(&room(), "2").await;
        phone.told().await;
        cluster.nodes[0].link.cut();
        laptop.read(&room(), 1).await;
        assert_eq!(phone.told().await, [""; 0]);
        cluster.nodes[0].link.restore();
        assert_eq!(phone.told().await, ["1/0"]);
    });
}

#[test]
fn what_a_full_queue_lost_is_told_when_it_drains() {
    run(async {
        let (cluster, mut phone, mut ben) = two().await;
        let mut laptop = Person::connect(&cluster, 1, "ann").await;
        ben.say(&room(), "1").await;
        phone.told().await;
        cluster.nodes[0].link.fill();
        ben.say(&room(), "2").await;
        laptop.read(&room(), 1).await;
        cluster.nodes[0].link.drain();
        let told = phone.told().await;
        assert!(told.iter().any(|it| it.starts_with("2:")), "{told:?}");
        assert!(told.last().unwrap().ends_with("1/0"), "{told:?}");
    });
}

#[test]
fn a_message_lost_without_a_word_is_notified_when_heads_are_compared() {
    run(async {
        let (cluster, mut ann, mut ben) = two().await;
        let deaf = EnvelopeFaults {
            lose: 1_000,
            ..EnvelopeFaults::default()
        };
        cluster.nodes[0].link.set(deaf);
        ben.say(&room(), "1").await;
        cluster.nodes[0].link.set(EnvelopeFaults::default());
        assert_eq!(ann.told().await, [""; 0]);
        sleep(UNNOTICED).await;
        assert_eq!(ann.told().await, ["1: 1/0"]);
    });
}

#[test]
fn a_lost_log_is_counted_anew_and_a_watched_room_brings_none_into_being() {
    run(async {
        let (cluster, mut ann, mut ben) = two().await;
        ben.say(&room(), "1").await;
        ben.say(&room(), "2").await;
        ann.told().await;
        ben.read(&room(), 2).await;
        cluster.log.drop_log(&room());
        sleep(UNNOTICED).await;
        let heads = cluster.log.heads(&[room()]).await.unwrap();
        assert_eq!(heads, [None], "nobody has joined");
        ann.told().await;
        ben.told().await;
        ben.say(&room(), "3").await;
        assert_eq!(
            ann.told().await,
            ["0/0", "3: 1/0"],
            "nothing was left, and then one"
        );
        assert_eq!(ben.told().await, ["0/0", "3: 0/0"]);
        ann.say(&room(), "4").await;
        assert_eq!(
            ben.told().await,
            ["4: 1/0"],
            "his marker is of another life"
        );
    });
}

#[test]
fn a_log_that_was_rolled_back_is_counted_anew() {
    run(async {
        let (cluster, mut ann, mut ben) = two().await;
        for text in ["1", "2", "3", "4"] {
            ben.say(&room(), text).await;
        }
        assert_eq!(ann.told().await.last().unwrap(), "4: 4/0");
        cluster.log.roll_back(&room(), 2);
        sleep(UNNOTICED).await;
        assert_eq!(ann.told().await.last().unwrap(), "2/0");
        ben.say(&room(), "5").await;
        assert_eq!(ann.told().await, ["5: 3/0"]);
    });
}

#[test]
fn after_any_of_it_everybody_was_last_told_what_is_true() {
    for seed in 0..12_u64 {
        run(async {
            let cluster = Cluster::start(3, seed % 2 == 0, &Limits::default(), seed);
            let names = ["ann", "ben", "cat"];
            make_members(&cluster, &room(), &names).await;
            let mut people = Vec::new();
            for number in 0..6 {
                let person = Person::connect(&cluster, number % 3, names[number / 2]).await;
                people.push(person);
            }
            let mut random = fastrand::Rng::with_seed(seed);
            for step in 0..60 {
                let node = &cluster.nodes[random.usize(0..3)];
                let who = random.usize(0..people.len());
                match random.u32(0..10) {
                    0 => node.link.cut(),
                    1 => node.link.restore(),
                    2 => node.link.fill(),
                    3 => node.link.drain(),
                    4 | 5 => {
                        let head = cluster.head().await.seq;
                        people[who].read(&room(), random.u64(0..=head)).await;
                    }
                    _ => drop(people[who].say(&room(), &step.to_string()).await),
                }
            }
            cluster.heal();
            sleep(UNNOTICED).await;
            for (number, person) in people.iter_mut().enumerate() {
                person.told().await;
                let told = person.counts;
                let joined = person.join(&room()).await.reading.unwrap();
                let expected = Some((joined.unread, joined.mentions));
                assert_eq!(told, expected, "{}, seed {seed}", names[number / 2]);
            }
        });
    }
}
