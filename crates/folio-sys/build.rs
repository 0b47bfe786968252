//! Sets `cfg(guarded)` where there are guarded copies in assembly, and the handler that they need.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(guarded)");
    let target = |what: &str| env::var(format!("CARGO_CFG_TARGET_{what}")).unwrap_or_default();
    let has_assembly = match target("ARCH").as_str() {
        "x86_64" | "aarch64" => target("POINTER_WIDTH") == "64",
        // The moves are of 16 bytes; and other C libraries name the registers otherwise.
        "x86" => target("ENV") == "gnu" && target("FEATURE").split(',').any(|name| name == "sse2"),
        _ => false,
    };
    if has_assembly && target("OS") == "linux" {
        println!("cargo::rustc-cfg=guarded");
    }
}
