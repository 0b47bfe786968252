//! Who holds a lock together with others: readers, and holders of permits.

use super::rwlock::{READERS, offset_of_reader};
use super::semaphore::{offset_of_permit, permits_in};
use crate::Result;
use crate::object::ObjectKind;
use crate::raw::{rwlock, semaphore};
use crate::region::Image;

/// Records and thread ids of those that hold a lock together with others, as the lock has them.
#[expect(clippy::cast_possible_truncation, reason = "the low half is wanted")]
pub(crate) fn holders(
    image: &Image,
    kind: ObjectKind,
    offset: u64,
    len: u64,
) -> Result<Vec<(u32, u32)>> {
    let mut holders = Vec::new();
    match kind {
        ObjectKind::RwLock => {
            for record in 0..READERS.min(image.layout().dimensions.threads) {
                let Some(from) = offset_of_reader(record).filter(|from| from + 4 <= len) else {
                    break;
                };
                let mut bytes = [0; 4];
                image.read(offset + from, &mut bytes)?;
                #[expect(clippy::host_endian_bytes, reason = "a region is of one machine")]
                let tid = rwlock::reader_of(u32::from_ne_bytes(bytes));
                holders.extend(tid.map(|tid| (record, tid)));
            }
        }
        ObjectKind::Semaphore => {
            for from in (0..permits_in(len)).map(offset_of_permit) {
                let permit = image.load(offset + from)?;
                // Somebody has scribbled over a permit that names no record.
                let nobody = || (permit != 0).then_some((u32::MAX, permit as u32));
                holders.extend(semaphore::holder_of(permit).or_else(nobody));
            }
        }
        _ => {}
    }
    Ok(holders)
}
