//! Things that come and go by the million: a vector with a free list, and handles that know when their thing is gone.

/// Place of a thing and which of the things that were there is meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Id {
    index: u32,
    generation: u32,
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    thing: Option<T>,
}

/// Things by handle.
#[derive(Debug)]
pub(super) struct Arena<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
}

impl<T> Arena<T> {
    pub(super) fn new() -> Self {
        Self { slots: Vec::new(), free: Vec::new() }
    }

    pub(super) fn insert(&mut self, thing: T) -> Id {
        if let Some(index) = self.free.pop() {
            let slot = &mut self.slots[index as usize];
            slot.thing = Some(thing);
            return Id { index, generation: slot.generation };
        }
        self.slots.push(Slot { generation: 0, thing: Some(thing) });
        Id { index: self.slots.len() as u32 - 1, generation: 0 }
    }

    /// `None` when it is gone.
    pub(super) fn get(&self, id: Id) -> Option<&T> {
        let slot = &self.slots[id.index as usize];
        if slot.generation == id.generation { slot.thing.as_ref() } else { None }
    }

    /// `None` when it is gone.
    pub(super) fn get_mut(&mut self, id: Id) -> Option<&mut T> {
        let slot = &mut self.slots[id.index as usize];
        if slot.generation == id.generation { slot.thing.as_mut() } else { None }
    }

    /// Takes it out; `None` when it was gone already.
    pub(super) fn remove(&mut self, id: Id) -> Option<T> {
        let slot = &mut self.slots[id.index as usize];
        if slot.generation != id.generation {
            return None;
        }
        slot.generation = slot.generation.wrapping_add(1);
        let thing = slot.thing.take();
        if thing.is_some() {
            self.free.push(id.index);
        }
        thing
    }

    /// A new handle for the same thing: what still holds the old one will find it gone.
    pub(super) fn renew(&mut self, id: Id) -> Id {
        let slot = &mut self.slots[id.index as usize];
        slot.generation = slot.generation.wrapping_add(1);
        Id { index: id.index, generation: slot.generation }
    }

    /// Handles of all that match, in order of their place.
    pub(super) fn find(&self, matches: impl Fn(&T) -> bool) -> Vec<Id> {
        let with_place = self.slots.iter().zip(0_u32..);
        with_place
            .filter(|(slot, _)| slot.thing.as_ref().is_some_and(&matches))
            .map(|(slot, index)| Id { index, generation: slot.generation })
            .collect()
    }
}
