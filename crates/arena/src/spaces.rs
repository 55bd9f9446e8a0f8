//! The bundled tasks as search spaces: their literals, with the bounds that a careful person would give a search that
//! needs to be told.

use crate::literal::{Literal, Start};

/// A bundled task.
pub(crate) struct Space {
    /// Its name, and that of its directory.
    pub(crate) task: &'static str,
    /// Its literals.
    pub(crate) literals: Vec<Literal>,
}

const fn real(name: &'static str, start: f64, low: f64, high: f64) -> Literal {
    Literal { name, start: Start::Real(start, low, high, false) }
}

const fn magnitude(name: &'static str, start: f64, low: f64, high: f64) -> Literal {
    Literal { name, start: Start::Real(start, low, high, true) }
}

const fn whole(name: &'static str, start: i64, low: i64, high: i64) -> Literal {
    Literal { name, start: Start::Whole(start, low, high, false) }
}

const fn size(name: &'static str, start: i64, low: i64, high: i64) -> Literal {
    Literal { name, start: Start::Whole(start, low, high, true) }
}

const fn switch(name: &'static str, start: bool) -> Literal {
    Literal { name, start: Start::Switch(start) }
}

/// All of them.
pub(crate) fn spaces() -> Vec<Space> {
    vec![
        Space {
            task: "golf",
            literals: vec![
                whole("adapt.py:MIN_ORDER", 2, 1, 3),
                whole("adapt.py:MAX_ORDER", 4, 3, 7),
                size("adapt.py:TABLE_ROWS", 30000, 4000, 120_000),
                magnitude("adapt.py:BACKOFF", 2.0, 0.25, 16.0),
                magnitude("adapt.py:BACKOFF_GROWTH", 1.0, 0.25, 4.0),
                magnitude("adapt.py:DIVERSITY", 1.0, 0.1, 8.0),
                magnitude("adapt.py:PRIMER_WEIGHT", 1.0, 0.1, 8.0),
                magnitude("adapt.py:INCREMENT", 1.0, 0.1, 8.0),
                size("data.py:PRIMER_BYTES", 1500, 250, 6000),
                size("data.py:PRIMER_CHUNK", 250, 50, 1000),
                whole("model.py:CONTEXT", 6, 2, 12),
                size("model.py:EMBED", 8, 4, 24),
                size("model.py:HIDDEN", 20, 8, 64),
                magnitude("model.py:INIT_SCALE", 0.7, 0.1, 2.0),
                switch("model.py:COUNTED_BIAS", true),
                whole("pack.py:BITS", 5, 3, 8),
                real("pack.py:CLIP", 4.0, 2.0, 8.0),
                size("train.py:STEPS", 800, 200, 2400),
                size("train.py:BATCH", 256, 64, 1024),
                magnitude("train.py:LEARNING_RATE", 0.01, 0.001, 0.1),
                Literal {
                    name: "train.py:SCHEDULE",
                    start: Start::Word("linear", &["constant", "linear", "cosine"]),
                },
                real("train.py:WARMUP", 0.05, 0.0, 0.3),
                real("train.py:BETA1", 0.9, 0.5, 0.99),
                real("train.py:BETA2", 0.99, 0.9, 0.999),
                magnitude("train.py:WEIGHT_DECAY", 0.001, 1e-5, 0.1),
            ],
        },
        Space {
            task: "digits-speed",
            literals: vec![
                whole("augment.py:SHIFT", 1, 0, 3),
                real("augment.py:NOISE", 0.05, 0.0, 0.3),
                real("augment.py:GAIN", 0.1, 0.0, 0.4),
                whole("augment.py:TEST_SHIFT", 1, 0, 2),
                switch("augment.py:CENTRE", true),
                size("net.py:CHANNELS", 16, 4, 48),
                whole("net.py:KERNEL", 3, 2, 5),
                whole("net.py:POOL", 2, 1, 3),
                size("net.py:HIDDEN", 128, 32, 512),
                magnitude("net.py:CONV_GAIN", 1.4, 0.5, 3.0),
                magnitude("net.py:DENSE_GAIN", 1.4, 0.5, 3.0),
                magnitude("net.py:HEAD_GAIN", 0.5, 0.1, 2.0),
                real("net.py:DROPOUT", 0.1, 0.0, 0.5),
                switch("net.py:DOUBLE", true),
                magnitude("optim.py:PEAK_RATE", 0.05, 0.005, 0.5),
                magnitude("optim.py:FINAL_RATE", 0.05, 0.005, 0.5),
                real("optim.py:WARMUP", 0.1, 0.01, 0.4),
                real("optim.py:MOMENTUM", 0.9, 0.5, 0.99),
                magnitude("optim.py:WEIGHT_DECAY", 5e-4, 1e-6, 1e-2),
                magnitude("optim.py:BIAS_RATE", 1.0, 0.25, 4.0),
                switch("optim.py:NESTEROV", true),
                switch("optim.py:COSINE", true),
                magnitude("optim.py:CLIP", 5.0, 0.5, 20.0),
                size("train.py:EPOCHS", 36, 4, 72),
                size("train.py:BATCH", 32, 8, 128),
                real("train.py:LABEL_SMOOTHING", 0.1, 0.0, 0.3),
                real("train.py:AVERAGE_FROM", 0.8, 0.3, 0.99),
                real("train.py:AVERAGE_DECAY", 0.95, 0.8, 0.999),
            ],
        },
        Space {
            task: "recall",
            literals: vec![
                magnitude("autograd.py:EPSILON", 1e-5, 1e-7, 1e-3),
                size("curriculum.py:BATCH", 96, 16, 256),
                magnitude("curriculum.py:RECALL", 1.0, 0.25, 4.0),
                magnitude("curriculum.py:COPY", 1.0, 0.25, 4.0),
                magnitude("curriculum.py:REVERSE", 1.0, 0.25, 4.0),
                magnitude("curriculum.py:MAXIMUM", 1.0, 0.25, 4.0),
                magnitude("curriculum.py:SORT", 1.0, 0.25, 4.0),
                magnitude("curriculum.py:COUNT", 1.0, 0.25, 4.0),
                whole("model.py:LAYERS", 2, 1, 4),
                size("model.py:WIDTH", 48, 16, 128),
                whole("model.py:HEADS", 2, 1, 4),
                size("model.py:MLP", 96, 32, 256),
                magnitude("model.py:TOKEN_SPREAD", 0.5, 0.05, 2.0),
                magnitude("model.py:PLACE_SPREAD", 0.5, 0.05, 2.0),
                magnitude("model.py:WEIGHT_GAIN", 1.0, 0.25, 4.0),
                magnitude("model.py:OUTPUT_GAIN", 0.5, 0.1, 2.0),
                switch("model.py:TIED", false),
                switch("model.py:SHIFT", true),
                magnitude("optimiser.py:PEAK_RATE", 0.004, 0.0005, 0.05),
                magnitude("optimiser.py:FINAL_RATE", 0.1, 0.01, 1.0),
                real("optimiser.py:WARMUP", 0.05, 0.005, 0.3),
                real("optimiser.py:BETA1", 0.9, 0.5, 0.99),
                real("optimiser.py:BETA2", 0.98, 0.9, 0.999),
                magnitude("optimiser.py:EPSILON", 1e-8, 1e-10, 1e-4),
                magnitude("optimiser.py:WEIGHT_DECAY", 0.01, 1e-4, 0.3),
                magnitude("optimiser.py:CLIP", 1.0, 0.1, 10.0),
                switch("optimiser.py:COSINE", true),
                real("train.py:CPU_BUDGET", 1.3, 1.0, 1.6),
                size("train.py:STEPS", 190, 50, 600),
                real("train.py:SMOOTHING", 0.0, 0.0, 0.2),
                real("train.py:AVERAGE_FROM", 0.7, 0.3, 0.99),
                real("train.py:AVERAGE_DECAY", 0.9, 0.5, 0.999),
            ],
        },
    ]
}
