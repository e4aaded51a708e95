"""AdaCLIP: learned frame selection and query-independent aggregation, written from the paper (ACM MM 2023)."""
