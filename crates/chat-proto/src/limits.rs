//! Limits of the client wire, each with its reason. Those of names, texts and keys belong to
//! `chat_core::limits`.

/// Largest number that JavaScript, Lua and every other reader of JSON keeps exactly: 2^53 − 1.
pub const INTEGER_MAX: u64 = (1 << 53) - 1;
/// Characters of a client's input that an error repeats: enough to recognise it, too few to make
/// the server an amplifier.
pub const REFLECTED_CHARS_MAX: usize = 100;
/// How deep `meta` may nest. What is deeper is no annotation of a message any more, and readers
/// with a recursion limit must be able to take it in.
pub const META_DEPTH_MAX: usize = 32;
/// How deep a MessagePack frame may nest, in either direction: bounds the stack. Twice what `meta`
/// may, so that every frame with one fits.
pub const FRAME_DEPTH_MAX: usize = 64;
/// Users that one command may name.
pub const USERS_PER_COMMAND_MAX: usize = chat_core::limits::MEMBERS_PER_COMMAND_MAX;
/// Longest token, in bytes. A JWT with an RSA signature and a list of rooms is under 4 KiB.
pub const TOKEN_BYTES_MAX: usize = 8_192;
/// Longest cursor, in bytes. Servers make them, so this only bounds what is passed on.
pub const CURSOR_BYTES_MAX: usize = 512;
/// Longest presence text, in bytes.
pub const STATUS_TEXT_BYTES_MAX: usize = 256;
