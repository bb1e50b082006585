//! Terms to draw at random.

use std::collections::HashSet;

use proptest::prelude::*;

use super::model::{Model, key_text};
use super::number::BigInteger;

fn scalar() -> impl Strategy<Value = Model> {
    prop_oneof![
        Just(Model::Nil),
        any::<bool>().prop_map(Model::Bool),
        "[a-z?é日]{0,5}".prop_map(|name| match &name[..] {
            "nil" | "true" | "false" => Model::Nil,
            _ => Model::Atom(name),
        }),
        any::<i64>().prop_map(Model::Int),
        ((1 << 63)..=u64::MAX).prop_map(Model::Natural),
        (any::<bool>(), prop::collection::vec(1u8.., 9..40))
            .prop_map(|(negative, magnitude)| Model::Big(BigInteger { negative, magnitude })),
        any::<f64>().prop_filter("finite", |float| float.is_finite()).prop_map(Model::Float),
        any::<String>().prop_map(|text| Model::Bytes(text.into())),
        "[ -~\\n\\t]{0,100}".prop_map(|text| Model::Bytes(text.into())),
    ]
}

fn key() -> impl Strategy<Value = Model> {
    prop_oneof![
        "[a-c1é]{0,3}".prop_map(Model::Atom),
        "[a-c1é]{0,3}".prop_map(|text| Model::Bytes(text.into())),
        (-20i64..20).prop_map(Model::Int),
        any::<u64>().prop_filter("large", |natural| *natural > i64::MAX as u64).prop_map(Model::Natural),
        prop_oneof![Just(Model::Nil), Just(Model::Bool(true)), Just(Model::Bytes("nil".into()))],
    ]
}

/// Two keys of one map are always different as `name` has them.
fn container(inner: impl Strategy<Value = Model> + Clone, name: fn(&Model) -> String) -> impl Strategy<Value = Model> {
    prop_oneof![
        prop::collection::vec(inner.clone(), 0..8).prop_map(Model::List),
        prop::collection::vec((key(), inner), 0..8).prop_map(move |entries| {
            let mut seen = HashSet::new();
            Model::Map(entries.into_iter().filter(|(key, _)| seen.insert(name(key))).collect())
        }),
    ]
}

/// Any term of which JSON has every part, with keys that may collide.
pub(super) fn model() -> impl Strategy<Value = Model> {
    scalar().prop_recursive(6, 60, 8, |inner| container(inner, |key| format!("{key:?}")))
}

/// Any term that can be stored.
pub(super) fn storable() -> impl Strategy<Value = Model> {
    scalar().prop_recursive(6, 60, 8, |inner| container(inner, key_text))
}
