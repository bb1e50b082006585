use durable_stash_machine::format::decode;

use crate::judge::verdict;
use crate::object::seal;

/// The object is read as it is. And once more with a right length and checksum, or nothing would get past those: the
/// first line is the header without these two, the rest the body.
pub fn document(bytes: &[u8]) {
    verdict(bytes, &decode(bytes));
    let line = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let (head, body) = (&bytes[..line], bytes.get(line + 1..).unwrap_or_default());
    let sealed = seal(head, body);
    verdict(&sealed, &decode(&sealed));
}
