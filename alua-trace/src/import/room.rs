//! Owns how many maps and paths a text may become. A map or path of the model is several hundred
//! bytes; no tool prints one in fewer characters than are demanded here, but a hostile text does.

/// Fewest characters of a real map, with one path: heading, properties, group and path.
const MAP_CHARS: usize = 64;
/// Fewest characters of a real path: the line of a path in `multipath -ll` has 40 to 50.
const PATH_CHARS: usize = 40;
/// What any text may have, so that short ones need not be dense.
const ANY: usize = 16;
/// Most paths of one map; device-mapper is not used with more than a few dozen.
pub(super) const PATHS_PER_MAP: usize = 1024;

/// What there still is room for.
#[derive(Debug)]
pub(super) struct Room {
    maps: usize,
    paths: usize,
}

impl Room {
    /// For what is made of `text`.
    pub(super) fn new(text: &str) -> Self {
        Self {
            maps: ANY.max(text.len() / MAP_CHARS),
            paths: ANY.max(text.len() / PATH_CHARS),
        }
    }

    /// Takes the room for a map; `false` if there is none.
    pub(super) fn take_map(&mut self) -> bool {
        take(&mut self.maps)
    }

    /// Takes the room for a path of a map that has `siblings` already; `false` if there is none.
    pub(super) fn take_path(&mut self, siblings: usize) -> bool {
        siblings < PATHS_PER_MAP && take(&mut self.paths)
    }
}

/// Appends with little slack: elements of the model are large, and most lists have one or two.
pub(super) fn push<T>(list: &mut Vec<T>, element: T) {
    if list.len() == list.capacity() {
        list.reserve_exact((list.len() / 2).max(1));
    }
    list.push(element);
}

fn take(left: &mut usize) -> bool {
    let before = *left;
    *left = before.saturating_sub(1);
    before > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_grows_with_the_text() {
        let mut room = Room::new("short");
        assert_eq!((0..99).filter(|_| room.take_map()).count(), 16);
        let long = "x".repeat(64 << 10);
        let mut room = Room::new(&long);
        assert_eq!((0..9999).filter(|_| room.take_map()).count(), 1024);
        assert_eq!((0..9999).filter(|_| room.take_path(0)).count(), 1638);
        assert!(!Room::new(&long).take_path(PATHS_PER_MAP));
    }
}
