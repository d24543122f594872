//! Rows of what finds and delivers jobs, written and removed together at the end of a transaction: those of one batch are neighbours most
//! often, and redb puts a run of neighbours in, or takes it out, with one way down its tree and one new page, however many they are.

use std::ops::Bound;

use redb::{CursorError, Key, ReadableTable, Value, WriteTransaction};

use crate::tables::{Disk, Lazy, Open};

/// Fewer rows are written and removed one by one: a run costs about as much as so many.
const RUN_ROWS_MIN: usize = 4;
/// Most rows that stay between two that one run removes.
const BETWEEN_ROWS_MAX: usize = 8;

/// A table whose changes are gathered until somebody reads it, or the transaction ends. Its values have `N` bytes each.
pub(crate) struct Batched<'t, V: Value + 'static, const N: usize> {
    rows: Lazy<'t, &'static [u8], V>,
    /// With the number of the change.
    written: Vec<(Vec<u8>, usize, [u8; N])>,
    removed: Vec<(Vec<u8>, usize)>,
}

impl<'t, V: Value + 'static, const N: usize> Batched<'t, V, N> {
    pub(crate) fn new(txn: &'t WriteTransaction, definition: redb::TableDefinition<'static, &'static [u8], V>) -> Self {
        Batched { rows: Lazy::new(txn, definition), written: Vec::new(), removed: Vec::new() }
    }

    /// Writes a row, in time.
    pub(crate) fn insert(&mut self, key: Vec<u8>, value: [u8; N]) {
        self.written.push((key, self.changes(), value));
    }

    /// Removes a row, in time. Whether there is one is for the caller to know.
    pub(crate) fn remove(&mut self, key: Vec<u8>) {
        self.removed.push((key, self.changes()));
    }

    fn changes(&self) -> usize {
        self.written.len() + self.removed.len()
    }

    /// The table, with all changes.
    pub(crate) fn open(&mut self) -> Disk<&mut Open<'t, &'static [u8], V>> {
        self.flush()?;
        self.rows.open()
    }

    /// Makes the changes.
    pub(crate) fn flush(&mut self) -> Disk<()> {
        if self.changes() == 0 {
            return Ok(());
        }
        let (mut written, mut removed) = (std::mem::take(&mut self.written), std::mem::take(&mut self.removed));
        written.sort();
        removed.sort();
        last_decides(&mut written, &mut removed);
        let rows = self.rows.open()?;
        rows.remove_run(&removed)?;
        rows.insert_run(&written)
    }
}

/// Of several changes of one row, leaves the last.
fn last_decides<const N: usize>(written: &mut Vec<(Vec<u8>, usize, [u8; N])>, removed: &mut Vec<(Vec<u8>, usize)>) {
    // Sorted, so the latest of those that write, or remove, the same row is the last of them.
    written.reverse();
    written.dedup_by(|earlier, later| earlier.0 == later.0);
    written.reverse();
    removed.reverse();
    removed.dedup_by(|earlier, later| earlier.0 == later.0);
    removed.reverse();
    let mut others = removed.iter().peekable();
    written.retain(|(key, number, _)| {
        while others.next_if(|(other, _)| other < key).is_some() {}
        others.peek().is_none_or(|(other, removed)| other != key || removed < number)
    });
    // What is written afterwards is not removed first: it has the same key.
    let mut others = written.iter().peekable();
    removed.retain(|(key, _)| {
        while others.next_if(|(other, ..)| other < key).is_some() {}
        others.peek().is_none_or(|(other, ..)| other != key)
    });
}

/// A key in a sorted batch.
pub(crate) trait Row {
    fn key(&self) -> &[u8];
    fn value(&self) -> &[u8];
}

impl<const N: usize> Row for (Vec<u8>, usize, [u8; N]) {
    fn key(&self) -> &[u8] {
        &self.0
    }

    fn value(&self) -> &[u8] {
        &self.2
    }
}

impl Row for (Vec<u8>, usize) {
    fn key(&self) -> &[u8] {
        &self.0
    }

    fn value(&self) -> &[u8] {
        &[]
    }
}

/// A key and a value that lie elsewhere.
impl Row for (&[u8], &[u8]) {
    fn key(&self) -> &[u8] {
        self.0
    }

    fn value(&self) -> &[u8] {
        self.1
    }
}

/// Keys are compared by their bytes: not for tables whose keys are numbers.
impl<K: Key + 'static, V: Value + 'static> Open<'_, K, V> {
    /// Writes rows that are sorted by key, and that the table does not have.
    pub(crate) fn insert_run(&mut self, rows: &[impl Row]) -> Disk<()> {
        #[cfg(feature = "trace")]
        self.note_run(rows, crate::trace::Run::Insert);
        let mut rest = rows;
        while rest.len() >= RUN_ROWS_MIN {
            let mut cursor = self.table().lower_bound_mut(Bound::Included(K::from_bytes(rest[0].key())))?;
            let mut count = 0;
            for row in rest {
                match cursor.insert_before(K::from_bytes(row.key()), V::from_bytes(row.value())) {
                    Ok(()) => count += 1,
                    // A row of the table comes before this one: the next run starts here.
                    Err(CursorError::UnorderedKey) => break,
                    Err(CursorError::Storage(error)) => return Err(error),
                    Err(other) => return Err(redb::StorageError::Corrupted(other.to_string())),
                }
            }
            cursor.close()?;
            // Rows that have no neighbours go in as ever, a few at a time before the next run is tried.
            let alone = if count < RUN_ROWS_MIN { (count + RUN_ROWS_MIN).min(rest.len()) } else { count };
            for row in &rest[count..alone] {
                self.table().insert(K::from_bytes(row.key()), V::from_bytes(row.value()))?;
            }
            rest = &rest[alone..];
        }
        for row in rest {
            self.table().insert(K::from_bytes(row.key()), V::from_bytes(row.value()))?;
        }
        Ok(())
    }

    /// Removes rows that are sorted by key; those that the table does not have are passed over.
    pub(crate) fn remove_run(&mut self, rows: &[impl Row]) -> Disk<()> {
        #[cfg(feature = "trace")]
        self.note_run(rows, crate::trace::Run::Remove);
        let mut rest = rows;
        while !rest.is_empty() {
            let (run, behind) = rest.split_at(self.neighbours(rest)?);
            rest = behind;
            if run.len() < RUN_ROWS_MIN {
                for row in run {
                    self.table().remove(K::from_bytes(row.key()))?;
                }
                continue;
            }
            let mut left = run.iter().peekable();
            let bounds = K::from_bytes(run[0].key())..=K::from_bytes(run[run.len() - 1].key());
            self.table().retain_in(bounds, |key, _| {
                let key = K::as_bytes(&key);
                let key = key.as_ref();
                while left.next_if(|row| row.key() < key).is_some() {}
                left.next_if(|row| row.key() == key).is_none()
            })?;
        }
        Ok(())
    }

    /// How many of these rows, at least one, lie so close together in the table that it is worth to look at those between them.
    fn neighbours(&self, rows: &[impl Row]) -> Disk<usize> {
        if rows.len() < RUN_ROWS_MIN {
            return Ok(rows.len());
        }
        let (mut count, mut between) = (1, 0);
        for row in self.range(K::from_bytes(rows[0].key())..)? {
            let (key, _) = row?;
            let key = key.value();
            let key = K::as_bytes(&key);
            count += rows[count..].iter().take_while(|row| row.key() < key.as_ref()).count();
            match rows.get(count) {
                Some(row) if row.key() == key.as_ref() => (count, between) = (count + 1, 0),
                Some(_) if between < BETWEEN_ROWS_MAX => between += 1,
                _ => break,
            }
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use redb::backends::InMemoryBackend;
    use redb::{Database, ReadableDatabase, TableDefinition};

    use super::*;

    const ROWS: TableDefinition<'static, &[u8], &[u8; 8]> = TableDefinition::new("list");

    /// Numbers that look drawn, from a seed: splitmix64.
    fn draw(seed: &mut u64) -> u64 {
        *seed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (*seed ^ (*seed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed ^ (mixed >> 27)
    }

    /// Changes that lie together and apart, some of them of rows that are there or are not, some of one row several times.
    fn changes(seed: &mut u64) -> Vec<(Vec<u8>, Option<[u8; 8]>)> {
        let (from, spread) = (draw(seed) % 3000, [1, 1, 3, 20, 700][(draw(seed) % 5) as usize]);
        let mut at = from;
        let count = draw(seed) % 400;
        let change = |_| {
            at += if draw(seed).is_multiple_of(10) { 0 } else { 1 + draw(seed) % spread };
            let at = if draw(seed).is_multiple_of(9) { from + draw(seed) % 50 } else { at };
            let value = (!draw(seed).is_multiple_of(3)).then(|| draw(seed).to_be_bytes());
            (at.to_be_bytes().to_vec(), value)
        };
        (0..count).map(change).collect()
    }

    #[test]
    fn a_batch_does_what_its_changes_do_one_by_one() {
        for round in 0..60 {
            let mut seed = round;
            let database = Database::builder().create_with_backend(InMemoryBackend::new()).unwrap();
            let mut model: BTreeMap<Vec<u8>, [u8; 8]> = BTreeMap::new();
            for _ in 0..12 {
                let txn = database.begin_write().unwrap();
                {
                    let mut rows: Batched<'_, &[u8; 8], 8> = Batched::new(&txn, ROWS);
                    for (key, value) in changes(&mut seed) {
                        match value {
                            Some(value) => {
                                model.insert(key.clone(), value);
                                rows.insert(key, value);
                            }
                            None => {
                                model.remove(&key);
                                rows.remove(key);
                            }
                        }
                    }
                    rows.flush().unwrap();
                }
                txn.commit().unwrap();
                let table = database.begin_read().unwrap().open_table(ROWS).unwrap();
                let rows = table.iter().unwrap().map(Result::unwrap).map(|(key, value)| (key.value().to_vec(), *value.value()));
                assert!(rows.eq(model.clone()), "round {round}");
            }
        }
    }

    #[test]
    fn rows_that_stand_far_apart_are_no_neighbours() {
        let database = Database::builder().create_with_backend(InMemoryBackend::new()).unwrap();
        let txn = database.begin_write().unwrap();
        let mut rows: Batched<'_, &[u8; 8], 8> = Batched::new(&txn, ROWS);
        let key = |at: u64| at.to_be_bytes().to_vec();
        (0..100).for_each(|at| rows.insert(key(at), [0; 8]));
        let table = rows.open().unwrap();
        let asked = |at: &[u64]| at.iter().map(|at| (key(*at), 0)).collect::<Vec<_>>();
        // The fourth of them lies behind more rows than a run passes over.
        assert_eq!(table.neighbours(&asked(&[1, 2, 3, 40, 41])).unwrap(), 3);
        assert_eq!(table.neighbours(&asked(&[1, 2, 8, 9, 200])).unwrap(), 4);
    }
}
