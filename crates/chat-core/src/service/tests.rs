//! The engine against mocked seams.
