//! What a node says of a user, as bytes: a version, then per device status, name and text.
//!
//! Redis only stores and compares them. What a newer version says is somebody of whom no more is
//! known than that he is there.

use chat_core::{Device, DeviceId, Millis, Status};

const VERSION: u8 = 1;
/// The length that stands for no text; no text is as long.
const NO_TEXT: u16 = u16::MAX;

/// The bytes of some devices; none for none.
pub(super) fn encode(devices: &[Device]) -> Vec<u8> {
    if devices.is_empty() {
        return Vec::new();
    }
    let mut bytes = vec![VERSION];
    for device in devices {
        let name = device.name.as_ref().map_or("", DeviceId::as_str);
        bytes.push(match device.status {
            Status::Offline => 0,
            Status::Away => 1,
            Status::Busy => 2,
            Status::Online => 3,
        });
        bytes.push(u8::try_from(name.len()).unwrap_or_default());
        bytes.extend_from_slice(name.as_bytes());
        let text = device.text.as_deref();
        // Clients cannot send as much.
        let text = text.filter(|text| text.len() < usize::from(NO_TEXT));
        let length = text.map_or(NO_TEXT, |text| text.len() as u16);
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(text.unwrap_or_default().as_bytes());
    }
    bytes
}

/// The devices behind the time since when they are said, as scripts answer them.
pub(super) fn decode(stamped: &[u8]) -> (Millis, Vec<Device>) {
    let Some((stamp, bytes)) = stamped.split_first_chunk::<8>() else {
        return (0, Vec::new());
    };
    let there = || {
        vec![Device {
            name: None,
            status: Status::Online,
            text: None,
        }]
    };
    let devices = decode_devices(bytes).unwrap_or_else(there);
    (Millis::from_be_bytes(*stamp), devices)
}

fn decode_devices(bytes: &[u8]) -> Option<Vec<Device>> {
    let (&VERSION, mut bytes) = bytes.split_first()? else {
        return None;
    };
    let mut devices = Vec::new();
    while !bytes.is_empty() {
        let status = match take(&mut bytes, 1)?[0] {
            1 => Status::Away,
            2 => Status::Busy,
            3 => Status::Online,
            _ => return None,
        };
        let length = usize::from(take(&mut bytes, 1)?[0]);
        let name = std::str::from_utf8(take(&mut bytes, length)?).ok()?;
        let name = match name {
            "" => None,
            name => Some(DeviceId::new(name).ok()?),
        };
        let length = u16::from_be_bytes(take(&mut bytes, 2)?.try_into().ok()?);
        let text = match length {
            NO_TEXT => None,
            length => {
                let text = take(&mut bytes, usize::from(length))?;
                Some(std::str::from_utf8(text).ok()?.to_owned())
            }
        };
        devices.push(Device { name, status, text });
    }
    Some(devices)
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn devices() -> Vec<Device> {
        let device = |name: &str, status, text: Option<&str>| Device {
            name: (!name.is_empty()).then(|| DeviceId::new(name).unwrap()),
            status,
            text: text.map(str::to_owned),
        };
        vec![
            device("phone", Status::Online, None),
            device("", Status::Away, Some("")),
            device(&"l".repeat(128), Status::Busy, Some(&"ö".repeat(128))),
        ]
    }

    fn stamped(bytes: &[u8]) -> Vec<u8> {
        [&77_u64.to_be_bytes(), bytes].concat()
    }

    #[test]
    fn devices_survive_their_bytes() {
        assert_eq!(decode(&stamped(&encode(&devices()))), (77, devices()));
        assert!(encode(&[]).is_empty());
        assert_eq!(decode(b""), (0, Vec::new()));
    }

    #[test]
    fn what_cannot_be_read_is_somebody_who_is_there() {
        let whole = encode(&devices());
        let mut bad: Vec<Vec<u8>> = (0..whole.len()).map(|end| whole[..end].to_vec()).collect();
        bad.push([&[2], &whole[1..]].concat());
        bad.push(vec![1, 9, 0, 0, 0]);
        bad.push(vec![1, 3, 1, 0xff, 0xff, 0xff]);
        for bytes in bad {
            let (at_ms, read) = decode(&stamped(&bytes));
            assert_eq!(at_ms, 77);
            assert!(read.iter().all(|device| device.status != Status::Offline));
        }
        assert_eq!(decode(&stamped(&[2])).1.len(), 1);
    }
}
