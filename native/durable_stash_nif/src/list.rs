//! Lists as arguments.

use rustler::{Error, NifResult, Term};

/// The items one by one. What is no list, or improper, ends with a `badarg`, where rustler's own iterator panics.
pub(crate) fn items<'a>(list: Term<'a>) -> impl Iterator<Item = NifResult<Term<'a>>> {
    let mut rest = Some(list);
    std::iter::from_fn(move || {
        let list = rest.take()?;
        match list.list_get_cell() {
            Ok((item, tail)) => {
                rest = Some(tail);
                Some(Ok(item))
            }
            Err(_) if list.is_empty_list() => None,
            Err(_) => Some(Err(Error::BadArg)),
        }
    })
}
