//! Users as such: what each node says of their devices, and who is online.
//!
//! A user's presence, the list of who is online and the node's set are three keys in three slots,
//! changed one after the other: the set before the presence when he comes and behind it when he goes,
//! so that sweepers find all of him; the list last. Whoever takes somebody off it, or enters somebody
//! of whom he knew from before, looks behind it whether that is so still, because the other may have
//! happened meanwhile.

use chat_core::{
    Device, Kept, Millis, Occupant, OccupantPage, PresenceError, RoomId, Said, Shift, Standing,
    UserId,
};
use redis::{Cmd, Pipeline, Value, from_redis_value};

use super::steps::take_off_call;
use super::{RedisPresence, Result, devices, millis, unavailable, unexpected};
use crate::limits::{PIPELINE_CHUNK, SCAN_PAGE, USERS_TTL};
use crate::script;

impl RedisPresence {
    /// Says something of up to [`PIPELINE_CHUNK`] users who are all here, or all not.
    pub(super) async fn say_some(&self, name: &str, said: &[&Said]) -> Result<Vec<Shift>> {
        let keys = &self.shared.keys;
        let comes = |one: &&Said| !one.devices.is_empty();
        let coming: Vec<&str> = said
            .iter()
            .filter(|one| comes(one))
            .map(|one| one.user.as_str())
            .collect();
        let steps = |deadline_us| {
            let mut pipe = Pipeline::with_capacity(said.len() + 2);
            if !coming.is_empty() {
                self.enter_node(&mut pipe, name);
                pipe.cmd("SADD").arg(keys.node_users(name)).arg(&coming);
            }
            for one in said {
                pipe.add_command(self.say_call(name, &one.user, &one.devices, deadline_us));
            }
            pipe
        };
        let answers = self.steps(steps).await?;
        let intents = answers.len() - said.len();
        let shifts = answers.into_iter().skip(intents).zip(said);
        let shifts = shifts
            .map(|(answer, one)| shift(answer, &one.devices))
            .collect::<Result<Vec<_>>>()?;
        if !coming.is_empty() {
            self.arrive(&coming).await?;
        }
        let online = |(one, shift): &(&&Said, &Shift)| !comes(one) && shift.after.is_online();
        let both = || said.iter().zip(&shifts);
        let gone = both().filter(|pair| !comes(pair.0) && !online(pair));
        let gone: Vec<_> = gone.map(|(one, _)| &one.user).collect();
        let off = said.iter().filter(|one| !comes(one));
        let off: Vec<_> = off.map(|one| &one.user).collect();
        self.depart(name, &off, &gone).await?;
        let mut node = self.node.lock();
        for one in said {
            node.set_user(name, &one.user, comes(one));
        }
        Ok(shifts)
    }

    fn say_call(&self, name: &str, user: &UserId, said: &[Device], deadline_us: u64) -> Cmd {
        let mut call = script::SAY.call(&[self.shared.keys.user_presence(user)]);
        call.arg(deadline_us)
            .arg(name)
            .arg(devices::encode(said))
            .arg(millis(USERS_TTL));
        call
    }

    /// Enters users into the list of who is online, unless they are in it.
    async fn arrive(&self, users: &[&str]) -> Result<()> {
        let call = |deadline_us| self.arrive_call(users, deadline_us);
        self.step::<u64>(call).await.map(drop)
    }

    fn arrive_call(&self, users: &[&str], deadline_us: u64) -> Cmd {
        let mut call = script::ARRIVE.call(&[self.shared.keys.online()]);
        call.arg(deadline_us).arg(users);
        call
    }

    /// Takes users who are on no node off the list of who is online, and those who are not on a
    /// node off its set.
    async fn depart(&self, name: &str, off: &[&UserId], gone: &[&UserId]) -> Result<()> {
        if off.is_empty() {
            return Ok(());
        }
        self.unlist(gone).await?;
        let key = self.shared.keys.node_users(name);
        let off = names(off);
        let call = |deadline_us| take_off_call("SREM", &key, &off, deadline_us);
        self.step::<u64>(call).await.map(drop)
    }

    /// Takes users off the list of who is online, but for those who are on a node by then.
    async fn unlist(&self, gone: &[&UserId]) -> Result<()> {
        let online = self.shared.keys.online();
        let mut gone = gone.to_vec();
        // Each round more is only for those who came or went since the last.
        while !gone.is_empty() {
            let unlist = |deadline_us| take_off_call("ZREM", &online, &names(&gone), deadline_us);
            let (back, _) = self.there_behind(unlist, &gone).await?;
            if back.is_empty() {
                return Ok(());
            }
            let list = |deadline_us| self.arrive_call(&names(&back), deadline_us);
            (_, gone) = self.there_behind(list, &back).await?;
        }
        Ok(())
    }

    /// Changes the list of who is online, and tells apart who is on a node behind that, and who is
    /// on none.
    async fn there_behind<'a>(
        &self,
        change: impl FnOnce(u64) -> Cmd,
        users: &[&'a UserId],
    ) -> Result<(Vec<&'a UserId>, Vec<&'a UserId>)> {
        let steps = |deadline_us| {
            let mut pipe = Pipeline::with_capacity(users.len() + 1);
            pipe.add_command(change(deadline_us));
            for user in users {
                pipe.cmd("EXISTS").arg(self.shared.keys.user_presence(user));
            }
            pipe
        };
        let answers = self.steps(steps).await?;
        let mut exist = answers.iter().skip(1).map(|it| *it == Value::Int(1));
        Ok(users.iter().partition(|_| exist.next().unwrap_or(false)))
    }

    /// Takes up to a page of users off a dead node. Answers what that changed, for each.
    pub(super) async fn end_some(&self, name: &str) -> Result<Vec<(UserId, Shift)>> {
        let mut some = redis::cmd("SRANDMEMBER");
        some.arg(self.shared.keys.node_users(name)).arg(SCAN_PAGE);
        let users: Vec<String> = self.ask(some).await?;
        if users.is_empty() {
            return Ok(Vec::new());
        }
        let users = users.into_iter().filter_map(|user| UserId::new(user).ok());
        let said: Vec<_> = users
            .map(|user| Said {
                user,
                devices: Vec::new(),
            })
            .collect();
        let shifts = self
            .say_some(name, &said.iter().collect::<Vec<_>>())
            .await?;
        Ok(said.into_iter().map(|one| one.user).zip(shifts).collect())
    }

    pub(super) async fn standings_of(&self, users: &[UserId]) -> Result<Vec<Standing>> {
        let mut standings = Vec::with_capacity(users.len());
        for chunk in users.chunks(PIPELINE_CHUNK) {
            let mut pipe = Pipeline::with_capacity(chunk.len());
            for user in chunk {
                pipe.cmd("HVALS").arg(self.shared.keys.user_presence(user));
            }
            for answer in self.answers(&mut pipe).await? {
                let said: Vec<Vec<u8>> = from_redis_value(answer).map_err(|_| unexpected())?;
                let said: Vec<_> = said.iter().map(|bytes| devices::decode(bytes)).collect();
                standings.push(merged(&said));
            }
        }
        Ok(standings)
    }

    pub(super) async fn newest(
        &self,
        room: Option<&RoomId>,
        before: Option<u64>,
        max: usize,
    ) -> Result<OccupantPage> {
        let keys = &self.shared.keys;
        let key = room.map_or_else(|| keys.online(), |room| keys.users(room));
        let mut call = script::NEWEST.call(&[key]);
        let before = before.map_or_else(|| "+inf".to_owned(), |before| before.to_string());
        // One more than asked for tells whether there is a next page.
        call.arg(before).arg(max + 1);
        let (count, people, last) = page(self.ask(call).await?, max)?;
        let mut page = OccupantPage {
            count,
            occupants: people,
            cursor: last.map(|order| order.to_string()),
        };
        if room.is_none() {
            self.drop_ghosts(&mut page).await?;
        }
        Ok(page)
    }

    /// Takes off the list, and off the page, whoever is in it and on no node: a node died between
    /// the two steps, or Redis lost the one and not the other.
    async fn drop_ghosts(&self, page: &mut OccupantPage) -> Result<()> {
        let keys = &self.shared.keys;
        if page.occupants.is_empty() {
            return Ok(());
        }
        let mut pipe = Pipeline::with_capacity(page.occupants.len());
        for Occupant { user, .. } in &page.occupants {
            pipe.cmd("EXISTS").arg(keys.user_presence(user));
        }
        let exists = self.answers(&mut pipe).await?;
        let ghosts = page.occupants.iter().zip(&exists);
        let ghosts = ghosts.filter(|(_, exists)| **exists == Value::Int(0));
        let ghosts: Vec<UserId> = ghosts.map(|(one, _)| one.user.clone()).collect();
        if ghosts.is_empty() {
            return Ok(());
        }
        tracing::debug!(
            count = ghosts.len(),
            "online by no node: taken off the list"
        );
        page.occupants.retain(|one| !ghosts.contains(&one.user));
        page.count = page.count.saturating_sub(ghosts.len() as u64);
        let ghosts: Vec<&UserId> = ghosts.iter().collect();
        self.unlist(&ghosts).await
    }

    pub(super) async fn said_by(&self, name: &str) -> Result<Vec<UserId>> {
        let key = self.shared.keys.node_users(name);
        let mut users = std::collections::BTreeSet::new();
        let mut cursor = 0_u64;
        loop {
            let mut scan = redis::cmd("SSCAN");
            scan.arg(&key).arg(cursor).arg("COUNT").arg(SCAN_PAGE);
            let (next, names): (u64, Vec<String>) = self.ask(scan).await?;
            users.extend(names.into_iter().filter_map(|user| UserId::new(user).ok()));
            if next == 0 {
                return Ok(users.into_iter().collect());
            }
            cursor = next;
        }
    }

    /// Renews the presence of the users whose turn it is, and finds out who was forgotten.
    pub(super) async fn keep_users(&self, name: &str, kept: &mut Kept) -> Result<()> {
        let due = self.node.lock().take_due_users();
        for chunk in due.chunks(PIPELINE_CHUNK) {
            let users: Vec<&UserId> = chunk.iter().collect();
            let steps = |deadline_us| {
                let mut pipe = Pipeline::with_capacity(2 * users.len() + 1);
                pipe.add_command(self.arrive_call(&names(&users), deadline_us));
                // Behind it: whoever goes meanwhile is not seen here, or takes himself off the list.
                for user in &users {
                    let key = self.shared.keys.user_presence(user);
                    pipe.cmd("PEXPIRE").arg(&key).arg(millis(USERS_TTL));
                    pipe.cmd("HEXISTS").arg(&key).arg(name);
                }
                pipe
            };
            let answers = self.steps(steps).await?;
            let known = answers.iter().skip(2).step_by(2);
            let known = known.map(|answer| *answer == Value::Int(1));
            let lost = users.into_iter().zip(known).filter(|(_, known)| !known);
            let lost: Vec<&UserId> = lost.map(|(user, _)| user).collect();
            kept.forgotten.extend(lost.iter().copied().cloned());
            self.unlist(&lost).await?;
        }
        Ok(())
    }

    /// What each command of a pipeline answered; an error if any of them failed.
    async fn answers(&self, pipe: &mut Pipeline) -> Result<Vec<Value>> {
        let answers = self.shared.others.run(pipe).await;
        let answers = answers.map_err(|error| unavailable(&error))?;
        let answers = answers.into_iter().collect::<Result<Vec<_>, _>>();
        answers.map_err(|error| PresenceError::Unavailable(error.to_string()))
    }
}

fn names<'a>(users: &[&'a UserId]) -> Vec<&'a str> {
    users.iter().map(|user| user.as_str()).collect()
}

/// What a say script answered: what was changed by a node that now says this.
fn shift(answer: Value, said: &[Device]) -> Result<Shift> {
    let (at_ms, own, others) = say_answer(answer)?;
    let own = devices::decode(&own);
    let others: Vec<_> = others.iter().map(|bytes| devices::decode(bytes)).collect();
    let since = if own.1 == said { own.0 } else { at_ms };
    let with = |own: (Millis, Vec<Device>)| {
        let all: Vec<_> = others.iter().cloned().chain([own]).collect();
        merged(&all)
    };
    Ok(Shift {
        after: with((since, said.to_vec())),
        before: with(own),
        elsewhere: !others.is_empty(),
        at_ms,
    })
}

type SayAnswer = (Millis, Vec<u8>, Vec<Vec<u8>>);

fn say_answer(answer: Value) -> Result<SayAnswer> {
    let Value::Array(items) = answer else {
        return Err(unexpected());
    };
    let mut items = items.into_iter();
    let mut next = || items.next().ok_or_else(unexpected);
    let at_ms = from_redis_value(next()?).map_err(|_| unexpected())?;
    let own = from_redis_value(next()?).map_err(|_| unexpected())?;
    let others = items.map(from_redis_value).collect::<Result<_, _>>();
    Ok((at_ms, own, others.map_err(|_| unexpected())?))
}

fn merged(said: &[(Millis, Vec<Device>)]) -> Standing {
    Standing::of(
        said.iter()
            .map(|(at_ms, devices)| (*at_ms, devices.as_slice())),
    )
}

/// What a script that reads a page answered: how many there are, up to `max` of them, and the order
/// number of the last one if there are more.
pub(super) fn page(answer: Vec<Value>, max: usize) -> Result<(u64, Vec<Occupant>, Option<u64>)> {
    let mut items = answer.into_iter();
    let count = items.next().ok_or_else(unexpected)?;
    let count = from_redis_value(count).map_err(|_| unexpected())?;
    let mut occupants = Vec::new();
    let mut last = 0;
    while let (Some(user), Some(order)) = (items.next(), items.next()) {
        if occupants.len() == max {
            return Ok((count, occupants, Some(last)));
        }
        let user: String = from_redis_value(user).map_err(|_| unexpected())?;
        last = from_redis_value::<f64>(order).map_err(|_| unexpected())? as u64;
        occupants.push(Occupant {
            user: UserId::new(user).map_err(|_| unexpected())?,
            since_ms: last / 1_000,
        });
    }
    Ok((count, occupants, None))
}
