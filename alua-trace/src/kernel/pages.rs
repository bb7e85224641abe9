//! What tells where the kernel has a page of memory: with it a command's data can be read.

/// Whether these are variables of the kernel's, as on x86-64. arm64 has constants, which it leaves for readers of its crash
/// dumps.
pub(super) const ARE_VARIABLES: bool = cfg!(target_arch = "x86_64");

/// Where all memory is mapped, and where the `struct page`s are. On arm64 the first is `-1 << VA_BITS`
/// (arch/arm64/include/asm/memory.h `PAGE_OFFSET`).
pub(super) const PAGES: [&str; 2] = if ARE_VARIABLES {
    ["page_offset_base", "vmemmap_base"]
} else {
    ["VA_BITS", "VMEMMAP_START"]
};
