//! WebSocket transport on tokio-tungstenite
