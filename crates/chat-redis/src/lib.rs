//! PubSub, RoomLog, Presence and Directory over Redis or Valkey
