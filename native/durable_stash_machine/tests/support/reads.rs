//! What must hold of every answer to a read: I2, I4, I8 and I9.

use std::collections::BTreeMap;

use durable_stash_machine::{Key, ReadAnswer, Slot, TabId, View, Vsn};

use super::history::{Content, History, Place, Scope, Told, Verdict, Version};

/// A read that waits for its answer.
#[derive(Clone, Debug)]
pub struct Asked {
    pub run: u64,
    pub slot: std::sync::Arc<Slot>,
    /// When, in ticks and in ms.
    pub tick: u64,
    pub time: u64,
    /// The number of the asker's mount, if it was a fresh one.
    pub fresh_mount: Option<u64>,
    /// The view keeps tabs, so that its writes may be superseded on other nodes.
    pub stores_tab: bool,
}

/// How far answers may lag, in ms.
#[derive(Clone, Copy, Debug)]
pub struct Lag {
    /// A copy that was validated so recently may answer.
    pub fresh_for: u64,
    /// The furthest that a node's clock is ahead.
    pub skew: u64,
}

impl History {
    /// A read was answered, now.
    pub fn read(&mut self, asked: &Asked, answer: &ReadAnswer, lag: Lag) -> Verdict {
        self.told.reads += 1;
        if answer.stale {
            self.told.stale += 1;
            return Ok(());
        }
        let candidates = self.candidates(asked, lag);
        let Some(found) = &answer.found else {
            let anything = |place: &Place| {
                (place.view == asked.slot.view && place.vsn <= asked.slot.vsn) || place.view == View::shared()
            };
            return self.check_nothing_missing(asked, lag, &candidates, anything, &BTreeMap::new());
        };
        let place = |tab: Option<&TabId>, key: &Key| Place {
            view: asked.slot.view.clone(),
            vsn: if tab.is_some() { found.tab_vsn } else { found.vsn },
            tab: tab.cloned(),
            key: key.clone(),
        };
        let session = found.session.iter().map(|(key, json)| (place(None, key), json));
        let tab = found.tab.iter().map(|(key, json)| (place(Some(&asked.slot.tab), key), json));
        let shared = |key: &Key| Place { view: View::shared(), vsn: Vsn::SHARED, tab: None, key: key.clone() };
        let shared = found.shared.iter().map(|(key, json)| (shared(key), json));
        let mut shown = BTreeMap::new();
        for (place, json) in session.chain(tab).chain(shared) {
            let value: u64 = json.as_str().parse().map_err(|_| "I2: a value changed its text")?;
            self.check_shown(asked, &candidates, &place, value)?;
            shown.insert(place, value);
        }
        let of_slice = |place: &Place| place.view == asked.slot.view && place.vsn == found.vsn;
        let in_scope = |place: &Place| of_slice(place) || place.view == View::shared();
        self.check_nothing_missing(asked, lag, &candidates, in_scope, &shown)?;
        self.check_own_writes(asked, &shown, of_slice)
    }

    /// The states that the document had at some moment between question and answer.
    fn candidates(&self, asked: &Asked, lag: Lag) -> Vec<Option<&Version>> {
        if self.lossy {
            // A node may answer from what it knows of the lost object.
            return self.versions.iter().map(Some).chain([None]).collect();
        }
        let is_before = |version: &Version| version.tick <= asked.tick;
        let ends = self.versions.iter().skip(1).map(Some).chain([None]);
        let nothing = self.versions.first().is_none_or(|first| !is_before(first)).then_some(None);
        let lasts = |end: Option<&Version>| {
            end.is_none_or(|next| next.tick > asked.tick || next.time + lag.fresh_for >= asked.time)
        };
        let alive = self.versions.iter().zip(ends).filter(|(_, end)| lasts(*end)).map(|(version, _)| Some(version));
        nothing.into_iter().chain(alive).collect()
    }

    fn check_shown(&self, asked: &Asked, candidates: &[Option<&Version>], place: &Place, value: u64) -> Verdict {
        // No clock is behind the world's.
        let is_alive = |(at, shown, over_at): (&Place, u64, u64)| at == place && shown == value && over_at > asked.time;
        let committed = candidates.iter().flatten().any(|version| version.values(self.ttl_ms).any(is_alive));
        let write = self.writes.get(&value);
        let is_own = write.is_some_and(|write| {
            write.run == asked.run && write.place == *place && write.settled_tick.is_none_or(|tick| tick >= asked.tick)
        });
        if !committed && !is_own {
            return Err(format!(
                "I4/I8: a read since tick {} showed {value} at {place:?}: neither current then nor accepted here",
                asked.tick
            ));
        }
        let mount = write.map_or(0, |write| write.mount);
        let latest = self.mounts.get(&(asked.slot.view.clone(), asked.slot.tab.clone()));
        let is_certain = self.knows_order_of_mounts();
        match asked.fresh_mount {
            Some(fresh) if place.tab.is_some() && mount < fresh && latest == Some(&fresh) && is_certain => {
                Err(format!("I9: a fresh mount was shown {value}, which an earlier mount of its tab had written"))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// What stood in the document all the time must be shown.
    fn check_nothing_missing(
        &self,
        asked: &Asked,
        lag: Lag,
        candidates: &[Option<&Version>],
        concerns: impl Fn(&Place) -> bool,
        shown: &BTreeMap<Place, u64>,
    ) -> Verdict {
        let Some((Some(first), rest)) = candidates.split_first() else { return Ok(()) };
        for (place, _, _) in first.values(self.ttl_ms).filter(|(place, _, _)| concerns(place) && place.tab.is_none()) {
            let stands = |version: &Option<&Version>| {
                let now = self.time + lag.skew;
                let is_alive = |(at, _, over_at): (&Place, u64, u64)| at == place && over_at > now;
                version.is_some_and(|version| version.values(self.ttl_ms).any(is_alive))
            };
            let always = stands(&Some(first)) && rest.iter().all(stands);
            let may_be_removed = self.removals.iter().any(|removal| {
                removal.run == asked.run
                    && removal.scope.covers(place)
                    && removal.settled_tick.is_none_or(|tick| tick >= asked.tick)
            });
            if always && !may_be_removed && !shown.contains_key(place) {
                return Err(format!(
                    "I8: a read since tick {} does not show {place:?}, which was there all the time",
                    asked.tick
                ));
            }
        }
        Ok(())
    }

    /// What this node has accepted and not settled lies on top of everything.
    fn check_own_writes(
        &self,
        asked: &Asked,
        shown: &BTreeMap<Place, u64>,
        concerns: impl Fn(&Place) -> bool,
    ) -> Verdict {
        // Where another node's mount may have superseded the writer, its writes are not going to be applied.
        if asked.stores_tab {
            return Ok(());
        }
        let is_open = |told: Told| told == Told::Nothing;
        let own = self.writes.values().filter(|write| write.run == asked.run && is_open(write.outcome));
        for write in own.filter(|write| write.tick < asked.tick && concerns(&write.place)) {
            // A default may lie below anything.
            let at_least = |value: &u64| {
                write.is_default || self.writes.get(value).is_some_and(|on_top| on_top.tick >= write.tick)
            };
            let removed = self.removals.iter().any(|removal| {
                let is_fresh_mount = matches!(removal.scope, Scope::Tab(_));
                removal.run == asked.run
                    && removal.tick > write.tick
                    && !is_fresh_mount
                    && removal.outcome != Told::Failed
                    && removal.scope.covers(&write.place)
            });
            if !removed && !shown.get(&write.place).is_some_and(at_least) {
                return Err(format!("I8: {write:?} was accepted before the read and lies not on top"));
            }
        }
        Ok(())
    }

    /// For messages.
    pub fn describe(version: &Version) -> String {
        match &version.content {
            Content::Absent { lost } => format!("nothing (lost: {lost})"),
            Content::Damaged => "damage".to_owned(),
            Content::Whole { header, document, places } => {
                let values: Vec<_> = places
                    .iter()
                    .map(|(place, value)| {
                        let tab = place.tab.as_ref().map_or("", |tab| tab.as_str());
                        format!("{}{}{tab}.{}={value}", place.view.as_str(), place.vsn.0, place.key.as_str())
                    })
                    .collect();
                let slices =
                    document.views.iter().flat_map(|(view, slices)| slices.iter().map(move |slice| (view, slice)));
                let epochs: Vec<_> = slices
                    .flat_map(|(view, (vsn, slice))| {
                        let tabs = slice.tabs.iter();
                        tabs.map(move |(tab, state)| {
                            format!("{}{}{}@{}", view.as_str(), vsn.0, tab.as_str(), state.epoch.0)
                        })
                    })
                    .collect();
                format!(
                    "rev {} {:?} until {}: {} [{}]",
                    header.rev,
                    header.write,
                    header.expires_at,
                    values.join(" "),
                    epochs.join(" ")
                )
            }
        }
    }
}
