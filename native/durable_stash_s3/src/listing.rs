//! One page of ListObjectsV2.

use std::ops::Bound;
use std::sync::Arc;

use crate::store::Bucket;
use crate::version::Version;

/// What a page is to hold.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    pub(crate) prefix: String,
    /// Keys that come after this one.
    pub(crate) after: String,
    pub(crate) delimiter: Option<String>,
    pub(crate) max_keys: usize,
}

/// A page: objects and common prefixes in the order of their names, which is that of their UTF-8 bytes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Listing {
    pub(crate) objects: Vec<Arc<Version>>,
    pub(crate) prefixes: Vec<String>,
    /// Where the next page goes on, if there is more.
    pub(crate) next: Option<String>,
}

impl Listing {
    pub(crate) fn of(bucket: &Bucket, wanted: &Wanted) -> Self {
        let mut page = Self::default();
        let mut last = wanted.after.clone();
        let from = if wanted.after < wanted.prefix {
            Bound::Included(wanted.prefix.as_str())
        } else {
            Bound::Excluded(wanted.after.as_str())
        };
        for (key, versions) in bucket.range::<str, _>((from, Bound::Unbounded)) {
            let Some(rest) = key.strip_prefix(&wanted.prefix) else { break };
            let Some(version) = versions.last().filter(|version| version.content.is_some()) else { continue };
            let common = wanted.delimiter.as_deref().and_then(|delimiter| {
                let end = rest.find(delimiter)? + delimiter.len();
                Some(format!("{}{}", wanted.prefix, &rest[..end]))
            });
            // The rest of a common prefix that this page or the one before has told.
            if common.as_ref().is_some_and(|common| *common == last) {
                continue;
            }
            if page.objects.len() + page.prefixes.len() == wanted.max_keys {
                page.next = (wanted.max_keys > 0).then_some(last);
                break;
            }
            match common {
                Some(common) => {
                    last.clone_from(&common);
                    page.prefixes.push(common);
                }
                None => {
                    last.clone_from(key);
                    page.objects.push(version.clone());
                }
            }
        }
        page
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::store::{Store, Terms};

    fn bucket(keys: &[&str]) -> Store {
        let store = Store::new();
        store.create_bucket("b");
        for key in keys {
            store.overwrite("b", key, key.as_bytes()).unwrap();
        }
        store
    }

    /// All pages of this size, names only.
    fn walk(store: &Store, prefix: &str, delimiter: Option<&str>, max_keys: usize) -> Vec<Vec<String>> {
        let mut wanted =
            Wanted { prefix: prefix.into(), after: String::new(), delimiter: delimiter.map(Into::into), max_keys };
        let mut pages = Vec::new();
        loop {
            let page = store.list("b", &wanted).unwrap();
            let mut names: Vec<_> = page.objects.iter().map(|object| object.key.clone()).collect();
            names.extend(page.prefixes);
            names.sort();
            pages.push(names);
            match page.next {
                Some(next) => wanted.after = next,
                None => return pages,
            }
        }
    }

    #[test]
    fn pages_show_each_key_of_the_prefix_once() {
        let store = bucket(&["a", "b/1", "b/2", "b/3", "c"]);
        assert_eq!(walk(&store, "b/", None, 2), [vec!["b/1", "b/2"], vec!["b/3"]]);
        assert_eq!(walk(&store, "", None, 1000), [vec!["a", "b/1", "b/2", "b/3", "c"]]);
        assert_eq!(walk(&store, "d", None, 1000), [Vec::<String>::new()]);
    }

    #[test]
    fn a_delimiter_rolls_up_and_pages_go_on_behind_the_roll() {
        let store = bucket(&["a", "b/1", "b/2", "c/1", "d"]);
        assert_eq!(walk(&store, "", Some("/"), 1), [vec!["a"], vec!["b/"], vec!["c/"], vec!["d"]]);
        assert_eq!(walk(&store, "b/", Some("/"), 10), [vec!["b/1", "b/2"]]);
    }

    #[test]
    fn deleted_objects_are_not_listed() {
        let store = bucket(&["a", "b"]);
        store.delete("b", "a", Terms::default()).unwrap();
        assert_eq!(walk(&store, "", None, 1), [vec!["b"]]);
    }
}
