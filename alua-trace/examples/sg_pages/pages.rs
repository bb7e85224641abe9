//! Generated pages: right in their form, random in what they say.

/// Random numbers; the same in each run.
pub struct Noise(u64);

impl Noise {
    pub fn new() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }

    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as usize % end
    }

    pub fn byte(&mut self) -> u8 {
        self.below(256) as u8
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.byte()).collect()
    }

    fn of(&mut self, from: &[u8]) -> u8 {
        from[self.below(from.len())]
    }

    /// Text of such a length that neither begins nor ends with a blank.
    fn text(&mut self, length: usize) -> Vec<u8> {
        let inner = b"ABCXYZabc0123456789-_.:/ ";
        let outer = b"ABCXYZabc0123456789";
        (0..length)
            .map(|at| {
                let from: &[u8] = if at == 0 || at + 1 == length {
                    outer
                } else {
                    inner
                };
                self.of(from)
            })
            .collect()
    }
}

fn page(code: u8, body: &[u8]) -> Vec<u8> {
    let mut page = vec![0, code];
    page.extend((body.len() as u16).to_be_bytes());
    page.extend(body);
    page
}

/// Page 80h.
pub fn serial_number(noise: &mut Noise) -> Vec<u8> {
    let length = 1 + noise.below(32);
    let body = noise.text(length);
    page(0x80, &body)
}

/// Page 83h.
pub fn identification(noise: &mut Noise) -> Vec<u8> {
    let mut body = Vec::new();
    for _ in 0..=noise.below(5) {
        body.extend(designator(noise));
    }
    page(0x83, &body)
}

fn designator(noise: &mut Noise) -> Vec<u8> {
    let kind = noise.of(&[1, 2, 3, 3, 3, 4, 5, 6, 8]);
    let association = match kind {
        4 | 5 => 1,
        6 => 0,
        _ => noise.of(&[0, 0, 0, 1, 2]),
    };
    let (set, value) = match kind {
        1 => {
            let length = 1 + noise.below(20);
            let mut value = noise.text(4);
            value.extend(b"    ");
            value.extend(noise.text(length));
            (2, value)
        }
        2 => {
            let length = usize::from(noise.of(&[8, 12, 16]));
            (1, noise.bytes(length))
        }
        3 => {
            let nibble = noise.of(&[2, 3, 5, 6]);
            let length = if nibble == 6 { 16 } else { 8 };
            let mut value = noise.bytes(length);
            value[0] = nibble << 4 | value[0] & 0x0f;
            (1, value)
        }
        8 => {
            let prefix: &[u8] = [&b"eui."[..], b"naa.", b"iqn."][noise.below(3)];
            let mut value = prefix.to_vec();
            value.extend(noise.text(16));
            value.resize(value.len().next_multiple_of(4), 0);
            (3, value)
        }
        _ => {
            let (high, low) = (noise.byte(), noise.byte());
            (1, vec![0, 0, high, low])
        }
    };
    let mut designator = vec![set, association << 4 | kind, 0, value.len() as u8];
    designator.extend(value);
    designator
}

/// Page C0h of RDAC arrays.
pub fn hardware(noise: &mut Noise) -> Vec<u8> {
    let mut body = b"hwr4".to_vec();
    body.extend(noise.bytes(8));
    for length in [64, 16, 12, 4, 16, 16, 16, 8, 2, 4] {
        body.extend(noise.text(length));
    }
    page(0xc0, &body)
}

/// Page C2h of RDAC arrays.
pub fn software(noise: &mut Noise) -> Vec<u8> {
    let mut body = b"swr4".to_vec();
    body.extend(noise.bytes(12));
    page(0xc2, &body)
}

/// Page C4h of RDAC arrays.
pub fn subsystem(noise: &mut Noise) -> Vec<u8> {
    let mut body = b"subs".to_vec();
    body.extend(noise.text(16));
    body.extend(noise.text(4));
    let slot = noise.of(b"12");
    body.extend([b'0', slot]);
    body.resize(44, 0);
    page(0xc4, &body)
}

/// Page C8h of RDAC arrays: labels are in UTF-16.
pub fn extended_identification(noise: &mut Noise) -> Vec<u8> {
    let mut body = b"edid".to_vec();
    body.extend([0, 0, 0]);
    for _ in 0..2 {
        body.push(16);
        body.extend(noise.bytes(16));
        let length = 1 + noise.below(20);
        let text = noise.text(length);
        // Its NUL counts.
        body.push(text.len() as u8 + 1);
        let start = body.len();
        body.extend(text.iter().flat_map(|byte| [0, *byte]));
        body.resize(start + 60, 0);
    }
    body.resize(176, 0);
    page(0xc8, &body)
}

/// Page C9h of RDAC arrays.
pub fn volume_access(noise: &mut Noise) -> Vec<u8> {
    let mut body = b"vac1".to_vec();
    let flags = noise.of(&[0x00, 0x80, 0xb0, 0xf1, 0xf0, 0x31]);
    let access = noise.of(&[0, 1]);
    let priority = noise.of(&[1, 2]);
    body.extend([flags, access, priority]);
    for _ in 0..2 {
        let state = noise.of(&[0, 1, 2, 3, 0xf]);
        body.extend([state, noise.of(&[0, 1])]);
    }
    body.resize(44, 0);
    page(0xc9, &body)
}

/// Standard INQUIRY data.
pub fn inquiry(noise: &mut Noise) -> Vec<u8> {
    let mut data = vec![
        noise.of(&[0x00, 0x20]),
        noise.of(&[0x00, 0x80]),
        noise.of(&[4, 5, 6, 7]),
        noise.of(&[0x02, 0x12, 0x32]),
        31,
        noise.of(&[0x00, 0x10, 0x20, 0x30, 0x38]),
        noise.of(&[0x00, 0x10]),
        0x02,
    ];
    data.extend(padded(noise, 8));
    data.extend(padded(noise, 16));
    data.extend(noise.text(4));
    data
}

fn padded(noise: &mut Noise, room: usize) -> Vec<u8> {
    let length = 1 + noise.below(room);
    let mut text = noise.text(length);
    text.resize(room, b' ');
    text
}

/// Sense data of either format with a code below the vendors'.
pub fn sense(noise: &mut Noise) -> Vec<u8> {
    let (key, asc, ascq) = (
        noise.below(12) as u8,
        noise.below(0x75) as u8,
        noise.below(0x20) as u8,
    );
    if noise.below(2) == 0 {
        vec![
            0x70, 0, key, 0, 0, 0, 0, 10, 0, 0, 0, 0, asc, ascq, 0, 0, 0, 0,
        ]
    } else {
        vec![0x72, key, asc, ascq, 0, 0, 0, 0]
    }
}
