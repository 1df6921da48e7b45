//! Contract suites, fault wrappers, the history checker and private servers for tests
