//! Rows packed and read again.

use super::*;
use crate::record::{error::Malformed, pack::Unpacker};

fn packer(rows: &[Row]) -> RowPacker {
    let mut packer = RowPacker::new(rows.len());
    rows.iter().for_each(|row| packer.push(row));
    packer
}

/// With fields that are made for them.
fn pack(rows: &[Row]) -> Vec<u8> {
    let mut packer = packer(rows);
    packer.begin_again(None);
    packed(&packer)
}

fn packed(packer: &RowPacker) -> Vec<u8> {
    let mut out = Vec::new();
    packer.pack(&mut out);
    out
}

fn unpack(mut packed: &[u8], count: usize) -> Result<Vec<Row>, Malformed> {
    let (mut plane, mut into) = (Vec::new(), vec![[5; COLUMNS]]);
    let mut unpacker = Unpacker::new().unwrap();
    take_rows(&mut unpacker, &mut packed, &mut plane, count, &mut into)?;
    assert_eq!(packed.len(), 0);
    Ok(into)
}

/// Bytes of the rows packed, behind what each block has; they come back, and nothing of what is shorter.
fn bytes(rows: &[Row]) -> usize {
    let packed = pack(rows);
    assert_eq!(unpack(&packed, rows.len()), Ok(rows.to_vec()));
    for cut in 0..packed.len() {
        assert!(unpack(&packed[..cut], rows.len()).is_err());
    }
    packed.len() - 21
}

#[test]
fn numbers_of_every_length_come_back_in_every_column() {
    assert_eq!(bytes(&[]), 0);
    assert_eq!(bytes(&[[0; COLUMNS]; 1000]), 0);
    for length in 1..=64_u32 {
        let largest = u64::MAX >> (64 - length);
        for column in 0..COLUMNS {
            let rows: Vec<Row> = (0..200)
                .map(|it| {
                    let mut row = [it % 2; COLUMNS];
                    row[column] = it / 2 % 2 * largest;
                    row
                })
                .collect();
            let expected = (200 * (4 + length as usize)).div_ceil(8);
            let packed = bytes(&rows);
            assert!(packed <= expected + 1, "{length}: {packed}");
        }
        let all: Vec<Row> = (0..50).map(|it| [it % 2 * largest; COLUMNS]).collect();
        assert!(bytes(&all) <= (50 * 5 * length as usize).div_ceil(8) + 4);
    }
}

#[test]
fn low_bits_that_are_always_zero_take_nothing() {
    let blocks = |first: u64| (0..1000).map(move |it| [it % (first + 1), 0, 0, it % 16 * 8, 0]);
    assert_eq!(
        bytes(&blocks(3).collect::<Vec<Row>>()),
        (1000 * (2 + 5)) / 8
    );
    assert_eq!(
        bytes(&blocks(7).collect::<Vec<Row>>()),
        (1000 * (3 + 4)) / 8
    );
}

#[test]
fn what_all_numbers_have_takes_nothing() {
    let row = |it: u64| [0, 1 << 40 | ((it % 16) << 4), 1 << 63, 0, 0];
    let mut rows: Vec<Row> = (0..1000).map(row).collect();
    // 2^40 / 32 below are 35 bits above, for what is less than all that were looked at.
    assert!(bytes(&rows) <= (1000 * (36 + 59)) / 8 + 20);
    // Less than the base, and so a long number.
    rows[1][1] = 16;
    bytes(&rows);
}

#[test]
fn a_few_long_numbers_do_not_make_all_longer() {
    let mut rows: Vec<Row> = (0..2000).map(|it| [0, it % 8, it % 2, 0, 0]).collect();
    (rows[3][1], rows[1999][1]) = (u64::MAX, 1 << 40);
    (rows[3][4], rows[1000][4]) = (1, 1 << 10);
    // 4 bits each; and of each long number its place, and what it has above: 61 and 38 bits, 1 and 11.
    let (second, last) = ((1 + 9) + (2 + 6), (1 + 1) + (2 + 2));
    assert_eq!(bytes(&rows), 1000 + second + last);
}

#[test]
fn a_sample_that_saw_no_long_number_loses_none() {
    let mut rows = vec![[1, 2, 3, 4, 500]; 5000];
    rows[4] = [1 << 63; COLUMNS];
    rows[7] = [u64::MAX; COLUMNS];
    rows[8] = [0; COLUMNS];
    let packed = pack(&rows);
    assert_eq!(unpack(&packed, rows.len()), Ok(rows));
}

#[test]
fn what_lies_is_refused() {
    let refused = |packed: &[u8]| unpack(packed, 2).unwrap_err().0;
    let with = |base, shift, width| {
        let others = [0; 9];
        [&[10, 0, 0, 0, base, shift, width][..], &others].concat()
    };
    assert_eq!(refused(&[11]), "commands are packed in an unknown way");
    for (shift, width) in [(64, 0), (1, 64), (255, 255)] {
        assert_eq!(
            refused(&with(0, shift, width)),
            "a number has more than 64 bits"
        );
    }
    let of = |shift, longer: &[u8]| {
        let bits = [0x21];
        [&with(5, shift, 4)[..], &bits, &[0], longer, &[0, 0, 0]].concat()
    };
    let rows = |one, other| Ok(vec![[0, one, 0, 0, 0], [0, other, 0, 0, 0]]);
    assert_eq!(unpack(&of(1, &[0]), 2), rows(5 + 2, 5 + 4));
    assert_eq!(unpack(&of(1, &[1, 1, 1]), 2), rows(5 + 2, 5 + 36));
    let why = "there are more rows than there should be";
    assert_eq!(refused(&of(0, &[1, 2, 1])), why);
    let why = "a number has more than 64 bits";
    assert_eq!(refused(&of(60, &[1, 0, 1])), why);
    assert_eq!(refused(&of(0, &[1, 0, 0])), why);
}

#[test]
fn rows_are_packed_as_those_before_were() {
    let rows: Vec<Row> = (0..8000)
        .map(|it| [it % 4, 1000 + it % 64, 0, it % 16 * 8, 0])
        .collect();
    let mut before = packer(&rows);
    let mut after = RowPacker::new(rows.len());
    after.go_on_from(&mut before);
    rows.iter().for_each(|row| after.push(row));
    let at_first = packed(&before).len();
    let bytes = packed(&after);
    assert_eq!(unpack(&bytes, rows.len()), Ok(rows.clone()));
    // 2 bits, 7 (from 969 on) and 4.
    assert_eq!(bytes.len(), 22 + 1000 * 13);
    assert!(at_first <= bytes.len() + 40, "{at_first}");
}

/// As short as the fields are, or shorter: nothing tells it while they come.
#[test]
fn large_rows_unlike_those_before_are_packed_again() {
    let after = |bits: u32| {
        let rows = |of: u64| -> Vec<Row> {
            let address = |it: u64| it.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - bits);
            (0..9000)
                .map(|it| [0, it % of, 0, address(it), 0])
                .collect()
        };
        let mut after = RowPacker::new(9000);
        after.go_on_from(&mut packer(&rows(1024)));
        rows(32).iter().for_each(|row| after.push(row));
        RowPacker::new(1).go_on_from(&mut after);
        let bytes = packed(&after);
        assert_eq!(unpack(&bytes, 9000), Ok(rows(32)));
        bytes.len()
    };
    let of = |bits: usize| 21 + 9000 * bits / 8;
    assert!(
        (of(5 + 54)..of(6 + 54)).contains(&after(54)),
        "{}",
        after(54)
    );
    // Where they are small it is not worth the time.
    assert!(after(20) >= of(10 + 20), "{}", after(20));
}

/// Of five numbers one has 16 bits, the others have 8. Where rows are small, time is worth more than bytes.
#[test]
fn large_rows_have_long_numbers_and_others_not() {
    let row = |it: u64, addresses: u64| {
        let latency = it * 7919 % 256 + if it % 5 == 2 { 0xff00 } else { 0 };
        [0, 0, latency, it * 4_000_000_007 % addresses, 0]
    };
    let rows = |addresses| -> Vec<Row> { (0..8000).map(|it| row(it, addresses)).collect() };
    let large = bytes(&rows(1 << 49));
    assert!(large < 8000 * (8 + 45 + 5) / 8, "{large}");
    assert_eq!(bytes(&rows(2)), 8000 * (16 + 1) / 8);
}

#[test]
fn a_base_that_saves_nothing_makes_no_number_long() {
    let mut rows: Vec<Row> = (0..9000).map(|it| [0, 0, 0, 700 + it % 997, 0]).collect();
    let mut after = RowPacker::new(rows.len());
    after.go_on_from(&mut packer(&rows));
    rows[1][3] = 3;
    rows.iter().for_each(|row| after.push(row));
    let bytes = packed(&after);
    assert_eq!(unpack(&bytes, rows.len()), Ok(rows));
    assert!(bytes.len() <= 22 + 9000 * 11 / 8, "{}", bytes.len());
}

#[test]
fn rows_that_become_others_come_back_in_little_more() {
    let small = |it: u64| [it % 4, it % 64, it % 16, it % 16 * 8, 0];
    let large = |it: u64| {
        [
            it % 4,
            (it % 64) << 9,
            (it % 16) << 20,
            it % 16 * 8 + it % 2,
            it % 2,
        ]
    };
    let rows: Vec<Row> = (0..1000).map(small).collect();
    let mut before = packer(&rows);
    let others: Vec<Row> = (0..1000).map(small).chain((0..5000).map(large)).collect();
    let mut packer = RowPacker::new(others.len());
    packer.go_on_from(&mut before);
    others.iter().for_each(|row| packer.push(row));
    let bytes = packed(&packer);
    assert_eq!(unpack(&bytes, others.len()), Ok(others.clone()));
    assert!(
        bytes.len() <= pack(&others).len() * 11 / 10,
        "{}",
        bytes.len()
    );
    // One that is odd once, in the last row too.
    let mut rows = rows;
    rows[999][3] |= 1;
    rows[500][3] |= 1;
    for count in [501, 999, 1000] {
        let mut block = RowPacker::new(count);
        block.go_on_from(&mut before);
        rows[..count].iter().for_each(|row| block.push(row));
        assert_eq!(unpack(&packed(&block), count), Ok(rows[..count].to_vec()));
    }
}
