//! Ranges by each method, of distributions of which it is known what should come out.

use super::*;
use crate::tensor::Tensor;

/// What is seen of samples of one value.
fn seen(samples: &[Vec<f32>]) -> Observations {
    use crate::graph::{Execute, Graph, Shape, Type, ValueId};
    use crate::tensor::DType;
    struct Nothing(ValueId);
    impl Execute for Nothing {
        fn execute(&self, inputs: &[Tensor], visit: &mut dyn FnMut(ValueId, &Tensor)) -> Result<(), String> {
            visit(self.0, &inputs[0]);
            Ok(())
        }
    }
    let mut graph = Graph::new("test");
    let x = graph.add_input("x", Type::new(DType::F32, Shape(vec![None])));
    graph.outputs = vec![x];
    let samples: Vec<Vec<Tensor>> = samples.iter().map(|s| vec![Tensor::vector(s.clone())]).collect();
    crate::quant::observe(&graph, &Nothing(x), &samples, &|| ()).unwrap()
}

fn range(samples: &[Vec<f32>], method: Method) -> (f32, f32) {
    let statistics = seen(samples).statistics(method);
    let range = statistics.values[&0].range.unwrap();
    (range.min, range.max)
}

const ALL: [Method; 5] = [Method::MinMax, Method::Average, Method::Percentile(99.9), Method::Entropy, Method::Mse];

/// Numbers of a normal distribution with deviation 1, the same at every call.
fn normal(count: usize) -> Vec<f32> {
    let mut state = 1u64;
    let mut uniform = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 24) as f32
    };
    (0..count).map(|_| (0..12).map(|_| uniform()).sum::<f32>() - 6.0).collect()
}

#[test]
fn the_mean_of_extremes_is_not_that_of_all() {
    let samples = [vec![-1.0, 4.0], vec![-3.0, 0.5], vec![-2.0, 1.5, 0.0]];
    assert_eq!(range(&samples, Method::MinMax), (-3.0, 4.0));
    assert_eq!(range(&samples, Method::Average), (-2.0, 2.0));
}

#[test]
fn percentiles_cut_half_at_either_end() {
    let even: Vec<f32> = (0..4096).map(|i| i as f32 - 2048.0).collect();
    let (min, max) = range(&[even.clone()], Method::Percentile(50.0));
    assert!((-1028.0..=-1020.0).contains(&min) && (1020.0..=1028.0).contains(&max), "{min} {max}");
    assert_eq!(range(&[even.clone()], Method::Percentile(100.0)), (-2048.0, 2047.0));
    let (min, max) = range(&[even], Method::Percentile(0.0));
    assert!(max - min <= 8.0, "{min} {max}");
}

#[test]
fn one_huge_outlier_is_cut() {
    let mut values = normal(8000);
    values[77] = 1000.0;
    let samples = [values];
    assert_eq!(range(&samples, Method::MinMax).1, 1000.0);
    assert!(range(&samples, Method::Percentile(99.9)).1 < 6.0);
    // 256 bins of 1 are the least that are compared.
    assert!(range(&samples, Method::Entropy).1 < 300.0);
    let mut moderate = normal(8000);
    moderate[77] = 30.0;
    assert!(range(&[moderate.clone()], Method::Entropy).1 < 15.0);
    // Its error, squared, outweighs what 8000 elements would gain; over more samples it no longer does.
    assert!(range(&[moderate.clone()], Method::Mse).1 > 25.0);
    let mut many = vec![normal(8000); 200];
    many[9] = moderate;
    assert!(range(&many, Method::Mse).1 < 15.0);
}

/// Of a normal distribution, 8 bits tell most if about four deviations are kept.
#[test]
fn tails_are_cut_where_errors_balance() {
    let samples = [normal(8000), normal(8000)];
    let (min, max) = range(&samples, Method::Mse);
    let all = range(&samples, Method::MinMax);
    assert!((2.8..=4.5).contains(&max) && max <= all.1, "{max} of {}", all.1);
    assert!((-4.5..=-2.8).contains(&min) && min >= all.0, "{min} of {}", all.0);
}

#[test]
fn what_was_never_seen_has_no_range_and_one_number_is_one() {
    for method in ALL {
        assert_eq!(range(&[vec![0.0; 9]], method), (0.0, 0.0), "{method:?}");
        assert_eq!(range(&[vec![-2.5; 9]], method), (-2.5, -2.5), "{method:?}");
        assert_eq!(seen(&[vec![]]).statistics(method).values[&0].range, None, "{method:?}");
    }
}

#[test]
fn masks_stay_for_the_solver_to_judge() {
    let mut values = normal(1000);
    values[3] = f32::MIN;
    let samples = [values];
    for method in ALL {
        let (min, max) = range(&samples, method);
        assert!(max > 2.0 && max < 5.0, "{method:?}: {max}");
        assert!(method == Method::Average || min == f32::MIN, "{method:?}: {min}");
    }
}

#[test]
fn no_method_goes_past_what_was_seen() {
    for values in [normal(5000), normal(50).iter().map(|x| x.abs()).collect(), vec![3.0, 4.0, 1e-20, 7.0]] {
        let all = range(&[values.clone()], Method::MinMax);
        for method in ALL {
            let (min, max) = range(&[values.clone()], method);
            assert!(all.0 <= min && min <= max && max <= all.1, "{method:?}: {min} {max}");
        }
    }
}
