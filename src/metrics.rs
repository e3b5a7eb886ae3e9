//! Every metric: name, unit, labels, help, buckets.
