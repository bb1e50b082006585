//! From any `Deserializer` into serde_json's `Serializer`, piece by piece.

use std::cell::Cell;
use std::fmt;

use rustler::Term;
use rustler::serde::Deserializer as Terms;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Error as _, SerializeMap, SerializeSeq, Serializer};
use serde::{Serialize, de::DeserializeSeed};

/// None for what either of the two refuses.
pub(crate) fn to_json(value: Term<'_>) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    let mut json = serde_json::Serializer::new(&mut text);
    Transcoder(Cell::new(Some(Terms::from(value)))).serialize(&mut json).ok()?;
    Some(text)
}

/// A deserializer as something to serialize, once.
struct Transcoder<D>(Cell<Option<D>>);

impl<'de, D: Deserializer<'de>> Serialize for Transcoder<D> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let from = self.0.take().ok_or_else(|| S::Error::custom("read twice"))?;
        from.deserialize_any(Into(serializer)).map_err(S::Error::custom)
    }
}

struct Into<S>(S);

macro_rules! pass_on {
    ($($visit:ident($type:ty) => $serialize:ident,)*) => {
        $(fn $visit<E: de::Error>(self, value: $type) -> Result<S::Ok, E> {
            self.0.$serialize(value).map_err(E::custom)
        })*
    };
}

impl<'de, S: Serializer> Visitor<'de> for Into<S> {
    type Value = S::Ok;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value that JSON has")
    }

    pass_on! {
        visit_bool(bool) => serialize_bool,
        visit_i64(i64) => serialize_i64,
        visit_u64(u64) => serialize_u64,
        visit_i128(i128) => serialize_i128,
        visit_u128(u128) => serialize_u128,
        visit_f64(f64) => serialize_f64,
        visit_str(&str) => serialize_str,
    }

    fn visit_unit<E: de::Error>(self) -> Result<S::Ok, E> {
        self.0.serialize_unit().map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<S::Ok, A::Error> {
        let mut sequence = self.0.serialize_seq(from.size_hint()).map_err(de::Error::custom)?;
        while from.next_element_seed(Element(&mut sequence))?.is_some() {}
        sequence.end().map_err(de::Error::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<S::Ok, A::Error> {
        let mut map = self.0.serialize_map(from.size_hint()).map_err(de::Error::custom)?;
        while from.next_key_seed(MapKey(&mut map))?.is_some() {
            from.next_value_seed(MapValue(&mut map))?;
        }
        map.end().map_err(de::Error::custom)
    }
}

struct Element<'a, S>(&'a mut S);
struct MapKey<'a, S>(&'a mut S);
struct MapValue<'a, S>(&'a mut S);

macro_rules! into_compound {
    ($($seed:ident: $trait:ident => $serialize:ident,)*) => {
        $(impl<'de, S: $trait> DeserializeSeed<'de> for $seed<'_, S> {
            type Value = ();

            fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
                self.0.$serialize(&Transcoder(Cell::new(Some(from)))).map_err(de::Error::custom)
            }
        })*
    };
}

into_compound! {
    Element: SerializeSeq => serialize_element,
    MapKey: SerializeMap => serialize_key,
    MapValue: SerializeMap => serialize_value,
}
