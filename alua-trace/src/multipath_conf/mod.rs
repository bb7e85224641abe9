//! The multipath set-up and what is wrong with it: configuration files, what they come to for each
//! map, and findings. Pure but for [`source`].

pub mod effective;
pub mod facts;
pub mod findings;
pub mod keywords;
mod lexer;
mod meant;
mod merging;
pub mod parse;
pub mod pattern;
pub mod section;
pub mod setup;
pub mod source;
pub mod tables;
mod values;
