//! PubSub, RoomLog, Presence and Directory in one process: the embedded default and the reference implementation
