//! In which order the cells of each block are run: drawn by lot, so that what drifts falls on all of them.

/// The cells of each block in order, by a seed.
#[must_use]
pub fn schedule(seed: u64, blocks: usize, cells: usize) -> Vec<Vec<usize>> {
    let mut random = fastrand::Rng::with_seed(seed);
    let blocks = (0..blocks).map(|_| {
        let mut order: Vec<usize> = (0..cells).collect();
        random.shuffle(&mut order);
        order
    });
    blocks.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cell_is_in_every_block_and_the_seed_decides() {
        let drawn = schedule(7, 40, 4);
        for block in &drawn {
            let mut cells = block.clone();
            cells.sort_unstable();
            assert_eq!(cells, [0, 1, 2, 3]);
        }
        assert_eq!(schedule(7, 40, 4), drawn);
        assert_ne!(schedule(8, 40, 4), drawn);
        // Each cell comes first about as often.
        for cell in 0..4 {
            let first = drawn.iter().filter(|block| block[0] == cell).count();
            assert!((4..=18).contains(&first), "{cell}: {first}");
        }
    }
}
