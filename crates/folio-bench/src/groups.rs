//! The groups of rows: one file each.

mod c_library;
mod files;
mod locks;
mod pages;
mod paging;
mod process;
mod random;
mod sample;
mod serve;
mod table;
mod windows;

pub(crate) use self::locks::partner;
pub(crate) use self::paging::{ScanArgs, scan};
pub(crate) use self::table::hold;
use crate::row::Bench;

/// Every bench there is, group by group.
pub(crate) fn all() -> Vec<Bench> {
    vec![
        files::read_at_64(),
        files::get_u64(),
        files::scan(),
        files::open(),
        files::frozen(),
        windows::hot(),
        windows::sequential(),
        windows::thrash(),
        table::get(),
        table::get_1k_values(),
        table::overhead(),
        table::build(),
        table::build_memory(),
        table::scan(),
        table::share(),
        table::sizes(),
        locks::uncontended(),
        locks::contended(),
        locks::owner_death(),
        locks::object_lookup(),
        serve::get_hit(),
        paging::stat(),
        paging::budget(),
        paging::dirty_scan(),
        paging::first_write(),
        paging::later_write(),
        paging::commit_size(),
        paging::commit_copy(),
        paging::commit_sqlite(),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_group_dot_row_each_once_and_groups_together() {
        let benches = all();
        let specs: Vec<_> = benches.iter().flat_map(|bench| bench.rows).collect();
        let mut names = HashSet::new();
        let mut groups = Vec::new();
        for spec in specs {
            let (group, row) = spec.name.split_once('.').unwrap();
            assert!(
                !group.is_empty() && !row.is_empty() && !row.contains('.'),
                "{}",
                spec.name
            );
            assert!(names.insert(spec.name), "{} twice", spec.name);
            if groups.last() != Some(&group) {
                assert!(!groups.contains(&group), "{group} in two places");
                groups.push(group);
            }
        }
    }
}
