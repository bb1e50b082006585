//! The library's threads run its code for as long as the VM lives, so the VM may never unmap it: neither when the
//! module is purged nor when a new version of it is loaded (fault 37).

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let is_elf =
        std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| matches!(&*os, "linux" | "freebsd" | "netbsd" | "openbsd"));
    if is_elf {
        println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
    }
}
