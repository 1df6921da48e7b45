//! What changes a room: to come into being, to take somebody in, to be edited.

use chat_core::limits::EDIT_PEOPLE_MAX;
use chat_core::{
    Access, Authority, Created, DirectoryError, Edited, Member, NewRoom, RoomChange, RoomEdit,
    RoomId, UserId,
};
use redis::{Cmd, Value, from_redis_value};

use super::answer::{self, accepted, damaged, role_number, role_of_number, users};
use super::membership::Step;
use super::{RedisDirectory, Result};
use crate::script;

/// Stands for the role that somebody has, or that of a plain member.
const ROLE_KEPT: i8 = -1;

impl RedisDirectory {
    /// Enters a room that is about to come into being in the list of all.
    pub(super) async fn list(&self, room: &RoomId) -> Result<()> {
        let rooms_max = self.shared.config.rooms_max;
        let mut call = script::ROOMS.call(&[self.shared.keys.rooms()]);
        call.arg(room.as_str()).arg(rooms_max);
        match self.ask::<u64>(call).await? {
            0 => Err(DirectoryError::Full(rooms_max)),
            _ => Ok(()),
        }
    }

    /// Lists a room only once its step has begun: nothing takes a room off the list that came to
    /// nothing.
    async fn list_begun<'a>(&self, room: &RoomId, step: Step<'a>) -> Result<Step<'a>> {
        match self.list(room).await {
            Ok(()) => Ok(step),
            Err(error) => {
                step.undo().await;
                Err(error)
            }
        }
    }

    /// Makes a user a member of an open room, which has to come into being if it is new.
    pub(super) async fn take_in(
        &self,
        room: &RoomId,
        user: &UserId,
        is_new: bool,
    ) -> Result<Access> {
        let mut step = self.begin(room, vec![user.clone()], &[]).await?;
        if is_new {
            step = self.list_begun(room, step).await?;
        }
        let mut call = self.room_call(&script::ENTER, room, step.deadline);
        call.arg(user.as_str());
        let entered = self.entered(room, self.ask(call).await?);
        match &entered {
            Ok(access) if access.role.is_some() => {
                step.settle(std::slice::from_ref(user), Vec::new()).await;
            }
            _ => step.undo().await,
        }
        entered
    }

    fn entered(&self, room: &RoomId, answer: Value) -> Result<Access> {
        let mut values = accepted(answer, self.shared.config.room_members_max)?.into_iter();
        let facts = values.next().unwrap_or(Value::Nil);
        let role = values.next().unwrap_or(Value::Nil);
        let role: Option<u8> = from_redis_value(role).map_err(|_| damaged("a member's role"))?;
        Ok(Access {
            room: answer::room(room, facts)?.ok_or_else(|| damaged("a room"))?,
            role: role.map(role_of_number).transpose()?,
        })
    }

    /// What an earlier attempt created, if there is such a room.
    pub(super) async fn created(&self, new: &NewRoom) -> Result<Option<Created>> {
        let mut get = redis::cmd("HMGET");
        get.arg(self.shared.keys.facts(&new.id))
            .arg(&["kind", "fingerprint"]);
        let (kind, fingerprint): (Option<String>, Option<String>) = self.ask(get).await?;
        if kind.is_none() {
            return Ok(None);
        }
        if fingerprint != Some(hex(new.fingerprint)) {
            return Err(DirectoryError::Taken);
        }
        let answer = self.ask(self.access_call(&new.id, None)).await?;
        let standing = answer::standing(&new.id, answer)?;
        Ok(standing.map(|(room, ..)| Created {
            room,
            existed: true,
        }))
    }

    pub(super) async fn create_new(&self, new: NewRoom) -> Result<Created> {
        check_people(new.members.len())?;
        let limit = self.shared.config.room_members_max;
        if new.members.len() > limit {
            let what = "the list of members";
            return Err(DirectoryError::TooMany { what, limit });
        }
        let people: Vec<UserId> = new.members.iter().map(|it| it.user.clone()).collect();
        let step = self.begin(&new.id, people.clone(), &[]).await?;
        let step = self.list_begun(&new.id, step).await?;
        let mut call = self.room_call(&script::CREATE, &new.id, step.deadline);
        call.arg(hex(new.fingerprint))
            .arg(answer::kind_name(new.kind))
            .arg(optional(new.name.as_deref()))
            .arg(optional(new.topic.as_deref()))
            .arg(new.slow_mode_s);
        add_members(&mut call, &new.members);
        let answer = accepted(self.ask(call).await?, self.shared.config.room_members_max);
        let created = answer.and_then(|values| {
            let (facts, existed): (Value, u8) =
                from_redis_value(Value::Array(values)).map_err(|_| damaged("an answer"))?;
            Ok(Created {
                room: answer::room(&new.id, facts)?.ok_or_else(|| damaged("a room"))?,
                existed: existed == 1,
            })
        });
        match &created {
            Ok(created) if !created.existed => step.settle(&people, Vec::new()).await,
            _ => step.undo().await,
        }
        created
    }

    pub(super) async fn change(
        &self,
        room: &RoomId,
        authority: &Authority,
        edit: RoomEdit,
    ) -> Result<Edited> {
        check_people(edit.add.len() + edit.invite.len() + edit.remove.len())?;
        let given = edit.add.iter().map(|member| &member.user);
        let added: Vec<UserId> = given.chain(&edit.invite).cloned().collect();
        let step = self.begin(room, added.clone(), &edit.remove).await?;
        let mut call = self.room_call(&script::EDIT, room, step.deadline);
        call.arg(authority.actor.as_str())
            .arg(
                authority
                    .role
                    .map_or(-1, |role| i16::from(role_number(role))),
            )
            .arg(u8::from(authority.above))
            .arg(optional(edit.name.as_deref()))
            .arg(optional(edit.topic.as_deref()))
            .arg(edit.slow_mode_s.map_or_else(String::new, |s| s.to_string()))
            .arg(edit.remove.len());
        for user in &edit.remove {
            call.arg(user.as_str());
        }
        add_members(&mut call, &edit.add);
        for user in &edit.invite {
            call.arg(user.as_str()).arg(ROLE_KEPT);
        }
        let answer = accepted(self.ask(call).await?, self.shared.config.room_members_max);
        let edited = answer.and_then(|values| edited(room, edit, values));
        match &edited {
            Ok(Edited { change, .. }) => {
                let changed = [&change.members_added[..], &change.members_removed].concat();
                step.settle(&changed, change.members_removed.clone()).await;
            }
            Err(_) => step.settle(&[], added).await,
        }
        edited
    }

    fn room_call(&self, script: &script::Script, room: &RoomId, deadline: u64) -> Cmd {
        let keys = &self.shared.keys;
        let mut call = script.call(&[keys.facts(room), keys.members(room)]);
        call.arg(deadline).arg(self.shared.config.room_members_max);
        call
    }
}

fn edited(room: &RoomId, edit: RoomEdit, values: Vec<Value>) -> Result<Edited> {
    type Different = (u8, u8, u8);
    type Names = Vec<String>;
    type Roles = Vec<(String, u8)>;
    let taken_apart = from_redis_value::<(Value, Different, Names, Names, Roles)>;
    let (facts, different, removed, added, roles) =
        taken_apart(Value::Array(values)).map_err(|_| damaged("an answer"))?;
    let room = answer::room(room, facts)?.ok_or_else(|| damaged("a room"))?;
    let role = |(user, role): (String, u8)| {
        Ok(Member {
            user: answer::user(&user)?,
            role: role_of_number(role)?,
        })
    };
    let mut change = RoomChange {
        version: 0,
        name: edit.name.filter(|_| different.0 == 1),
        topic: edit.topic.filter(|_| different.1 == 1),
        slow_mode_s: edit.slow_mode_s.filter(|_| different.2 == 1),
        members_added: users(added)?,
        members_removed: users(removed)?,
        roles: roles.into_iter().map(role).collect::<Result<_>>()?,
    };
    if !change.is_empty() {
        change.version = room.version;
    }
    Ok(Edited { room, change })
}

/// A script that goes through very many people holds up everybody else.
fn check_people(count: usize) -> Result<()> {
    if count > EDIT_PEOPLE_MAX {
        return Err(DirectoryError::TooMany {
            what: "one edit of members",
            limit: EDIT_PEOPLE_MAX,
        });
    }
    Ok(())
}

fn add_members(call: &mut Cmd, members: &[Member]) {
    for member in members {
        call.arg(member.user.as_str()).arg(role_number(member.role));
    }
}

/// A text behind a letter, so that an empty one is not taken for none.
pub(super) fn optional(text: Option<&str>) -> String {
    text.map_or_else(String::new, |text| format!("={text}"))
}

pub(super) fn hex(fingerprint: [u8; 16]) -> String {
    format!("{:032x}", u128::from_be_bytes(fingerprint))
}
