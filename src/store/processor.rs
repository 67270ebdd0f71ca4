//! Sees to it that checksums are computed by the processor's own instructions.
//!
//! RocksDB chooses its CRC-32C when it is compiled, by the target features given to the Rust compiler. Without them it works,
//! forty times slower; with them it ends by an illegal instruction on a processor that lacks them.

#[cfg(all(target_arch = "x86_64", not(all(target_feature = "sse4.2", target_feature = "pclmulqdq"))))]
compile_error!(
    "build with the target features of .cargo/config.toml (sse4.2, pclmulqdq); a RUSTFLAGS variable replaces them silently"
);

/// Instructions that this build uses and this processor lacks. To be asked before the first call into RocksDB.
pub(super) fn missing_instructions() -> Option<&'static str> {
    #[cfg(target_arch = "x86_64")]
    {
        const FEATURES_LEAF: u32 = 1;
        const SSE42: u32 = 1 << 20;
        const PCLMULQDQ: u32 = 1 << 1;
        // Not by `is_x86_feature_detected`: it takes what the compiler was told to assume for detected.
        let features = std::arch::x86_64::__cpuid(FEATURES_LEAF).ecx;
        if features & SSE42 == 0 {
            return Some("SSE 4.2");
        }
        if features & PCLMULQDQ == 0 {
            return Some("PCLMULQDQ");
        }
    }
    None
}
