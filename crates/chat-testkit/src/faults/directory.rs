//! A `Directory` that goes away and comes back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use chat_core::{
    Access, Authority, Created, Directory, DirectoryError, Edited, Marker, MemberPage, Memberships,
    Millis, NewRoom, Reach, Role, RoomEdit, RoomId, RoomPage, UserId,
};

type Result<T> = std::result::Result<T, DirectoryError>;

/// Any [`Directory`], with a switch: while it is away, every call fails and nothing is done.
#[derive(Debug)]
pub struct FaultyDirectory {
    inner: Arc<dyn Directory>,
    away: AtomicBool,
}

impl FaultyDirectory {
    /// Wraps a directory; it is there.
    #[must_use]
    pub fn new(inner: Arc<dyn Directory>) -> Self {
        Self {
            inner,
            away: AtomicBool::new(false),
        }
    }

    /// From now on it is away, or there.
    pub fn set_away(&self, away: bool) {
        self.away.store(away, Ordering::Relaxed);
    }

    fn there(&self) -> Result<&dyn Directory> {
        if self.away.load(Ordering::Relaxed) {
            return Err(DirectoryError::Unavailable("away on purpose".into()));
        }
        Ok(&*self.inner)
    }
}

#[async_trait]
impl Directory for FaultyDirectory {
    fn reach(&self) -> Reach {
        self.inner.reach()
    }

    async fn access(&self, room: &RoomId, user: &UserId) -> Result<Option<Access>> {
        self.there()?.access(room, user).await
    }

    async fn enter(&self, room: &RoomId, user: &UserId) -> Result<Access> {
        self.there()?.enter(room, user).await
    }

    async fn create(&self, room: NewRoom) -> Result<Created> {
        self.there()?.create(room).await
    }

    async fn edit(&self, room: &RoomId, authority: &Authority, edit: RoomEdit) -> Result<Edited> {
        self.there()?.edit(room, authority, edit).await
    }

    async fn roles(&self, room: &RoomId, users: &[UserId]) -> Result<Vec<Option<Role>>> {
        self.there()?.roles(room, users).await
    }

    async fn members(
        &self,
        room: &RoomId,
        cursor: Option<String>,
        max: usize,
    ) -> Result<MemberPage> {
        self.there()?.members(room, cursor, max).await
    }

    async fn rooms(&self, cursor: Option<String>, max: usize) -> Result<RoomPage> {
        self.there()?.rooms(cursor, max).await
    }

    async fn memberships(&self, user: &UserId, max: usize) -> Result<Memberships> {
        self.there()?.memberships(user, max).await
    }

    async fn membership_versions(&self, users: &[UserId]) -> Result<Vec<u64>> {
        self.there()?.membership_versions(users).await
    }

    async fn mark(
        &self,
        room: &RoomId,
        user: &UserId,
        marker: Marker,
        epoch_start: u64,
    ) -> Result<Marker> {
        self.there()?.mark(room, user, marker, epoch_start).await
    }

    async fn marker(&self, room: &RoomId, user: &UserId) -> Result<Option<Marker>> {
        self.there()?.marker(room, user).await
    }

    async fn markers(&self, room: &RoomId, max: usize) -> Result<Vec<(UserId, Marker)>> {
        self.there()?.markers(room, max).await
    }

    async fn seen(&self, users: &[(UserId, Millis)]) -> Result<()> {
        self.there()?.seen(users).await
    }

    async fn last_seen(&self, users: &[UserId]) -> Result<Vec<Option<Millis>>> {
        self.there()?.last_seen(users).await
    }
}
