//! The maps and paths of one host as a person asks for them: one model, whoever told it, and the
//! views of it. Pure; `paths` and `import` fill it.

pub mod checker;
pub mod model;
pub mod priority;
pub mod views;
