//! Well-formed pages with random contents, the same ones each time.

/// xorshift64 (Marsaglia).
#[derive(Debug)]
pub(super) struct Random(u64);

impl Random {
    /// `seed` must not be 0.
    pub(super) fn new(seed: u64) -> Random {
        Random(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Less than `limit`.
    pub(super) fn below(&mut self, limit: usize) -> usize {
        (self.next() >> 16) as usize % limit
    }

    fn byte(&mut self) -> u8 {
        self.below(256) as u8
    }

    pub(super) fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.byte()).collect()
    }

    /// Letters and digits.
    pub(super) fn name(&mut self, length: usize) -> Vec<u8> {
        const FROM: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
        (0..length).map(|_| FROM[self.below(FROM.len())]).collect()
    }

    /// A designator of page 83h, of the types that both decoders put in words.
    pub(super) fn designator(&mut self) -> Vec<u8> {
        let device = [0, 1, 2][self.below(3)] << 4;
        let (code_set, flags, value) = match self.below(8) {
            0 => {
                let length = 9 + self.below(12);
                (2, 0x01, self.name(length))
            }
            1 => (1, 0x02 | device, self.bytes(8)),
            2 => (1, 0x03 | device, self.naa(6, 16)),
            3 => {
                let kind = [2, 3, 5][self.below(3)];
                (1, 0x03 | device, self.naa(kind, 8))
            }
            4 => (1, 0x14, self.number()),
            5 => (1, 0x15, self.number()),
            6 => (1, 0x06, self.number()),
            _ => {
                let length = 1 + self.below(20);
                let mut name = [&b"iqn.2003-01.org:"[..], &self.name(length)].concat();
                name.resize(name.len() / 4 * 4 + 4, 0);
                // PIV and iSCSI, of a port or a device.
                (0x53, 0x88 | [0x10, 0x20][self.below(2)], name)
            }
        };
        let mut designator = vec![code_set, flags, 0, value.len() as u8];
        designator.extend(value);
        designator
    }

    fn naa(&mut self, kind: u8, length: usize) -> Vec<u8> {
        let mut value = self.bytes(length);
        value[0] = value[0] & 0x0f | kind << 4;
        value
    }

    fn number(&mut self) -> Vec<u8> {
        vec![0, 0, self.byte(), self.byte()]
    }

    /// Sense data of either format, current or deferred.
    pub(super) fn sense(&mut self) -> Vec<u8> {
        let deferred = self.below(2) as u8;
        // Fields that the key gives a meaning: only a refused one is compared.
        let key = [1, 2, 3, 4, 5, 6, 7, 0xb][self.below(8)];
        let pointed = key == 5 && self.below(2) == 1;
        let pointer = [0x80 | self.byte() & 0x4f, 0, self.byte()];
        let information = self.below(2) == 1;
        if self.below(2) == 0 {
            let mut data = vec![0; 18];
            data[0] = 0x70 | deferred | u8::from(information) << 7;
            data[2] = key;
            data[7] = 10;
            if information {
                data[3..7].copy_from_slice(&self.bytes(4));
            }
            data[12..14].copy_from_slice(&self.bytes(2));
            data[14] = self.byte();
            if pointed {
                data[15..18].copy_from_slice(&pointer);
            }
            return data;
        }
        let mut data = vec![0x72 | deferred, key, self.byte(), self.byte(), 0, 0, 0, 0];
        if information {
            data.extend([0x00, 0x0a, 0x80, 0, 0]);
            data.extend(self.bytes(7));
        }
        if pointed {
            data.extend([0x02, 0x06, 0, 0]);
            data.extend(pointer);
            data.push(0);
        }
        data[7] = (data.len() - 8) as u8;
        data
    }

    /// REPORT TARGET PORT GROUPS data.
    pub(super) fn port_groups(&mut self, extended: bool) -> Vec<u8> {
        let mut data = vec![0; 4];
        if extended {
            data.extend([0x10, self.byte(), 0, 0]);
        }
        for group in 0..1 + self.below(5) {
            let state = [0, 1, 2, 3, 4, 0xe, 0xf][self.below(7)] | self.byte() & 0x80;
            let ports = self.below(5);
            let (status, vendor) = (self.below(3) as u8, self.byte());
            let id = [group as u8, self.byte()];
            data.extend([state, self.byte() & 0xdf, id[0], id[1]]);
            data.extend([0, status, vendor, ports as u8]);
            for _ in 0..ports {
                data.extend([0, 0, self.byte(), self.byte()]);
            }
        }
        let length = (data.len() as u32 - 4).to_be_bytes();
        data[..4].copy_from_slice(&length);
        data
    }
}
