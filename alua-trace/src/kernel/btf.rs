//! A reader of the kernel's type information (BTF): sizes of structures and offsets of members.
//!
//! Reads vmlinux and modules' split BTF, which refers to vmlinux by type and string numbers that
//! go on where vmlinux' end. Format: `include/uapi/linux/btf.h`, Documentation/bpf/btf.rst. A
//! reader of our own because those on crates.io either know no split BTF or read every type of
//! vmlinux into objects, which takes longer and more memory than the whole trace may.

mod blob;

use std::{collections::HashMap, ops::Range};

use thiserror::Error;

pub use blob::Blob;

/// Why a BTF blob or a question to it failed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BtfError {
    /// The bytes are no BTF this reader understands.
    #[error("damaged or unknown BTF: {0}")]
    Malformed(&'static str),
    /// No structure of that name.
    #[error("no struct {0}")]
    NoStruct(String),
    /// The structure has no such member.
    #[error("no member {structure}.{member}")]
    NoMember {
        /// Name of the structure.
        structure: String,
        /// Dotted path that was asked for.
        member: String,
    },
    /// The member is a bit field.
    #[error("member {0} is a bit field")]
    BitField(String),
    /// No function of that name takes a pointer to that structure.
    #[error("no function {function} with a struct {structure} * among its arguments")]
    NoArgument {
        /// Name of the function.
        function: String,
        /// Name of the structure.
        structure: String,
    },
}

const MAGIC: u16 = 0xeb9f;
const HEADER_LEN: usize = 24;
const INTEGER: u32 = 1;
const POINTER: u32 = 2;
const ARRAY: u32 = 3;
const STRUCT: u32 = 4;
const UNION: u32 = 5;
const TYPEDEF: u32 = 8;
const FUNCTION: u32 = 12;
const FUNCTION_PROTOTYPE: u32 = 13;
/// Limits how deep types are followed: the kernel's own limit is 32 (`MAX_RESOLVE_DEPTH`).
const MAX_DEPTH: u32 = 32;

/// One BTF blob, with the base it goes on from.
#[derive(Debug)]
pub struct Btf<'base> {
    base: Option<&'base Btf<'base>>,
    data: Blob,
    strings: Range<usize>,
    /// Offset in `data` of each type; the first has number `first_type`.
    types: Vec<u32>,
    first_type: u32,
    first_string: u32,
    /// Offsets in `data` of structures and unions with a name.
    structures: HashMap<u64, u32>,
}

/// A member: where it is and what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// From the start of the structure, in bytes.
    pub offset: u32,
    /// Bytes; 0 where unknown (functions, void).
    pub size: u32,
    /// It is a pointer.
    pub is_pointer: bool,
}

/// What a type's header says.
#[derive(Debug, Clone, Copy)]
struct Type {
    name: u32,
    kind: u32,
    members: u32,
    kind_flag: bool,
    size_or_type: u32,
    /// Offset in `data` of what follows the header.
    body: usize,
}

impl<'base> Btf<'base> {
    /// Parses a blob. With a `base`, a blob whose strings go on from the base's is read as split
    /// BTF, a complete one as what it is.
    ///
    /// # Errors
    /// [`BtfError::Malformed`] when the blob is damaged, truncated or of an unknown version.
    pub fn parse(data: impl Into<Blob>, base: Option<&'base Btf<'base>>) -> Result<Self, BtfError> {
        let data = data.into();
        let header = Header::parse(&data)?;
        // Only complete BTF starts its strings with the empty one (`btf_parse_str_sec`).
        let base = base.filter(|_| {
            data.bytes(header.strings.start)
                .is_some_and(|[first]| first != 0)
        });
        let mut btf = Self {
            first_type: base.map_or(1, |base| base.first_type + base.types.len() as u32),
            first_string: base.map_or(0, |base| base.first_string + base.strings.len() as u32),
            base,
            strings: header.strings,
            types: Vec::new(),
            structures: HashMap::new(),
            data,
        };
        btf.index(header.types)?;
        Ok(btf)
    }

    fn index(&mut self, section: Range<usize>) -> Result<(), BtfError> {
        let mut at = section.start;
        let mut named = Vec::new();
        while at < section.end {
            let ty = self
                .header_at(at)
                .ok_or(BtfError::Malformed("truncated type"))?;
            let body = body_len(&ty).ok_or(BtfError::Malformed("unknown kind of type"))?;
            if ty.body + body > section.end {
                return Err(BtfError::Malformed("type reaches past its section"));
            }
            if matches!(ty.kind, STRUCT | UNION) && ty.name != 0 {
                named.push((ty.name, at as u32));
            }
            self.types.push(at as u32);
            at = ty.body + body;
        }
        // Strings are read in the order in which they are there.
        named.sort_unstable();
        self.structures.reserve(named.len());
        for (name, at) in named {
            let name = self.string(name).ok_or(BtfError::Malformed("bad name"))?;
            // Module BTF may repeat a structure; the copies are alike (kernel.md 1.14).
            self.structures.entry(hash(&name)).or_insert(at);
        }
        Ok(())
    }

    /// Size of a structure or union in bytes.
    ///
    /// # Errors
    /// [`BtfError::NoStruct`].
    pub fn size_of(&self, structure: &str) -> Result<u32, BtfError> {
        Ok(self.structure(structure)?.1.size_or_type)
    }

    /// A member by its dotted path; members of anonymous structures and unions are found as in C.
    ///
    /// # Errors
    /// [`BtfError::NoStruct`], [`BtfError::NoMember`], [`BtfError::BitField`].
    pub fn member(&self, structure: &str, path: &str) -> Result<Member, BtfError> {
        let missing = || BtfError::NoMember {
            structure: structure.into(),
            member: path.into(),
        };
        let (owner, mut ty) = self.structure(structure)?;
        let mut btf = owner;
        let mut bits = 0u32;
        let mut found = None;
        for name in path.split('.') {
            let (offset, id) = btf.find(&ty, name, 0).ok_or_else(missing)?;
            bits = bits.checked_add(offset).ok_or_else(missing)?;
            (btf, ty) = btf.resolve(id).ok_or_else(missing)?;
            found = Some(ty);
        }
        let ty = found.ok_or_else(missing)?;
        if !bits.is_multiple_of(8) {
            return Err(BtfError::BitField(format!("{structure}.{path}")));
        }
        let is_pointer = ty.kind == POINTER;
        let size = if is_pointer {
            8
        } else {
            btf.size(&ty, 0).unwrap_or(0)
        };
        Ok(Member {
            offset: bits / 8,
            size,
            is_pointer,
        })
    }

    /// Number of the typedef `name` in this blob. Looks through all its types.
    #[must_use]
    pub fn typedef(&self, name: &str) -> Option<u32> {
        self.number(TYPEDEF, name)
    }

    /// Number of the function `name` in this blob. Looks through all its types.
    #[must_use]
    pub fn function(&self, name: &str) -> Option<u32> {
        self.number(FUNCTION, name)
    }

    /// Number of a structure in this blob whose first member is an array of integers of so many `bytes`, or more.
    #[must_use]
    pub fn integers(&self, bytes: u32) -> Option<u32> {
        let begins_so = |structure: &Type| {
            let (_, 0, id) = self.member_at(structure, 0)? else {
                return None;
            };
            let (btf, array) = self.resolve(id).filter(|(_, ty)| ty.kind == ARRAY)?;
            let (_, element) = btf.resolve(btf.word(array.body)?)?;
            (element.kind == INTEGER && btf.size(&array, 0)? >= bytes).then_some(())
        };
        self.position(|ty| ty.kind == STRUCT && ty.members > 0 && begins_so(ty).is_some())
    }

    fn number(&self, kind: u32, name: &str) -> Option<u32> {
        let place = self.place_of(name)?;
        self.position(|ty| ty.kind == kind && ty.name == place)
            // Only what has not been deduplicated has a name twice.
            .or_else(|| self.position(|ty| ty.kind == kind && self.is_named(ty.name, name)))
    }

    /// Number of the first type like that in this blob.
    fn position(&self, is_it: impl Fn(&Type) -> bool) -> Option<u32> {
        let found = self
            .types
            .iter()
            .position(|at| self.header_at(*at as usize).as_ref().is_some_and(&is_it))?;
        self.first_type.checked_add(u32::try_from(found).ok()?)
    }

    /// Index of the first argument of `function` that is a pointer to `structure`. Looks through
    /// all types of this blob.
    ///
    /// # Errors
    /// [`BtfError::NoArgument`].
    pub fn argument(&self, function: &str, structure: &str) -> Result<u32, BtfError> {
        self.prototype(function)
            .and_then(|prototype| {
                (0..prototype.members).find(|index| {
                    self.word(prototype.body + *index as usize * 8 + 4)
                        .is_some_and(|id| self.points_to(id, structure))
                })
            })
            .ok_or_else(|| BtfError::NoArgument {
                function: function.into(),
                structure: structure.into(),
            })
    }

    fn prototype(&self, function: &str) -> Option<Type> {
        let place = self.place_of(function)?;
        let function = self
            .types
            .iter()
            .filter_map(|at| self.header_at(*at as usize))
            .find(|ty| ty.kind == FUNCTION && ty.name == place)?;
        let (_, prototype) = self.resolve(function.size_or_type)?;
        (prototype.kind == FUNCTION_PROTOTYPE).then_some(prototype)
    }

    fn points_to(&self, id: u32, structure: &str) -> bool {
        self.resolve(id)
            .filter(|(_, pointer)| pointer.kind == POINTER)
            .and_then(|(btf, pointer)| btf.resolve(pointer.size_or_type))
            .is_some_and(|(btf, ty)| ty.kind == STRUCT && btf.is_named(ty.name, structure))
    }

    /// Names, bit offsets and number of the members of a structure: its layout, to be compared.
    ///
    /// # Errors
    /// [`BtfError::NoStruct`].
    pub fn layout(&self, structure: &str) -> Result<(u32, Vec<(String, u32)>), BtfError> {
        let (btf, ty) = self.structure(structure)?;
        let members = (0..ty.members)
            .filter_map(|index| btf.member_at(&ty, index))
            .map(|(name, offset, _)| {
                let name = btf.string(name).unwrap_or_default();
                (String::from_utf8_lossy(&name).into(), offset)
            })
            .collect();
        Ok((ty.size_or_type, members))
    }

    fn structure(&self, name: &str) -> Result<(&Btf<'base>, Type), BtfError> {
        let mut btf = self;
        loop {
            if let Some(at) = btf.structures.get(&hash(name.as_bytes()))
                && let Some(ty) = btf.header_at(*at as usize)
                && btf.is_named(ty.name, name)
            {
                return Ok((btf, ty));
            }
            btf = btf.base.ok_or_else(|| BtfError::NoStruct(name.into()))?;
        }
    }

    /// Bit offset and type of the member `name`, looking into anonymous members.
    fn find(&self, ty: &Type, name: &str, depth: u32) -> Option<(u32, u32)> {
        if depth > MAX_DEPTH || !matches!(ty.kind, STRUCT | UNION) {
            return None;
        }
        for index in 0..ty.members {
            let (member, offset, id) = self.member_at(ty, index)?;
            if member == 0 {
                let (btf, inner) = self.resolve(id)?;
                if let Some((inner_offset, id)) = btf.find(&inner, name, depth + 1) {
                    return Some((offset.checked_add(inner_offset)?, id));
                }
            } else if self.is_named(member, name) {
                return Some((offset, id));
            }
        }
        None
    }

    /// Name, bit offset and type of a member.
    fn member_at(&self, ty: &Type, index: u32) -> Option<(u32, u32, u32)> {
        let at = ty.body + index as usize * 12;
        let offset = self.word(at + 8)?;
        // With the kind flag, the upper byte is the width of a bit field.
        let offset = if ty.kind_flag {
            offset & 0xff_ffff
        } else {
            offset
        };
        Some((self.word(at)?, offset, self.word(at + 4)?))
    }

    /// The type of that number behind typedefs and qualifiers.
    fn resolve(&self, mut id: u32) -> Option<(&Btf<'base>, Type)> {
        for _ in 0..MAX_DEPTH {
            let (btf, ty) = self.type_of(id)?;
            match ty.kind {
                // typedef, volatile, const, restrict, type tag
                8..=11 | 18 => id = ty.size_or_type,
                _ => return Some((btf, ty)),
            }
        }
        None
    }

    fn type_of(&self, id: u32) -> Option<(&Btf<'base>, Type)> {
        let mut btf = self;
        while id < btf.first_type {
            btf = btf.base?;
        }
        let at = *btf.types.get((id - btf.first_type) as usize)?;
        Some((btf, btf.header_at(at as usize)?))
    }

    fn size(&self, ty: &Type, depth: u32) -> Option<u32> {
        match ty.kind {
            // int, struct, union, enum, float, enum64
            1 | 4 | 5 | 6 | 16 | 19 => Some(ty.size_or_type),
            2 => Some(8),
            3 if depth < MAX_DEPTH => {
                let (btf, element) = self.resolve(self.word(ty.body)?)?;
                btf.size(&element, depth + 1)?
                    .checked_mul(self.word(ty.body + 8)?)
            }
            _ => None,
        }
    }

    fn header_at(&self, at: usize) -> Option<Type> {
        let header: [u8; 12] = self.data.bytes(at)?;
        let [name, info, size_or_type] = [0, 4, 8].map(|at| {
            u32::from_ne_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
        });
        Some(Type {
            name,
            kind: (info >> 24) & 0x1f,
            members: info & 0xffff,
            kind_flag: info >> 31 != 0,
            size_or_type,
            body: at + 12,
        })
    }

    fn word(&self, at: usize) -> Option<u32> {
        self.data.word(at)
    }

    fn is_named(&self, offset: u32, name: &str) -> bool {
        self.string(offset).as_deref() == Some(name.as_bytes())
    }

    fn string(&self, offset: u32) -> Option<Vec<u8>> {
        let mut btf = self;
        while offset < btf.first_string {
            btf = btf.base?;
        }
        let at = btf.strings.start + (offset - btf.first_string) as usize;
        let mut string = Vec::new();
        btf.data
            .string(at, btf.strings.end, &mut string)
            .then_some(string)
    }

    /// Where `name` is among the strings of this blob and its base: a type has its name by this number. Looks through all
    /// of them.
    fn place_of(&self, name: &str) -> Option<u32> {
        if let Some(place) = self.base.and_then(|base| base.place_of(name)) {
            return Some(place);
        }
        let (mut at, mut string) = (self.strings.start, Vec::new());
        while self.data.string(at, self.strings.end, &mut string) {
            if string == name.as_bytes() {
                return u32::try_from(at - self.strings.start)
                    .ok()?
                    .checked_add(self.first_string);
            }
            at += string.len() + 1;
        }
        None
    }
}

struct Header {
    types: Range<usize>,
    strings: Range<usize>,
}

impl Header {
    fn parse(data: &Blob) -> Result<Self, BtfError> {
        let short = BtfError::Malformed("shorter than its header");
        let (Some(first), Some(length)) = (data.word(0), data.word(4)) else {
            return Err(short);
        };
        if first as u16 != MAGIC {
            return Err(BtfError::Malformed(
                "no BTF magic in this machine's byte order",
            ));
        }
        if (first >> 16) & 0xff != 1 {
            return Err(BtfError::Malformed("unknown version"));
        }
        let section = |at: usize| -> Option<Range<usize>> {
            let start = (length as usize).checked_add(data.word(at)? as usize)?;
            let end = start.checked_add(data.word(at + 4)? as usize)?;
            (end <= data.length() && length as usize >= HEADER_LEN).then_some(start..end)
        };
        match (section(8), section(16)) {
            (Some(types), Some(strings)) => Ok(Self { types, strings }),
            _ => Err(BtfError::Malformed("a section reaches past the end")),
        }
    }
}

/// Bytes that follow a type's header.
fn body_len(ty: &Type) -> Option<usize> {
    let n = ty.members as usize;
    Some(match ty.kind {
        // pointer, forward, typedef, volatile, const, restrict, function, float, type tag
        2 | 7..=12 | 16 | 18 => 0,
        // int, variable, declaration tag
        1 | 14 | 17 => 4,
        3 => 12,
        // struct, union, data section, enum64
        4 | 5 | 15 | 19 => n * 12,
        // enum, function prototype
        6 | 13 => n * 8,
        _ => return None,
    })
}

/// FNV-1a: the map is keyed by hashes so that names stay where they are.
fn hash(name: &[u8]) -> u64 {
    name.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests;
