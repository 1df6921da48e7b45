//! Domain types, the seams and the engine of the chat server: no sockets, no SQL, no Redis
