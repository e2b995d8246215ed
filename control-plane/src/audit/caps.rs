//! What was spent is what receipts were charged, and no more than the caps allowed.

use std::collections::BTreeMap;

use nacre_ledger::{Amount, Period};

use super::Auditor;
use crate::store::StoreError;
use crate::store::ledger::spending::{self, DAY_MS, SetCap};
use crate::store::ledger::terms;

impl Auditor {
    pub(super) async fn spending(&mut self) -> Result<(), StoreError> {
        let days = spending::days(&mut self.tx).await?;
        let mut counted: BTreeMap<(String, String, u64), i128> = BTreeMap::new();
        for ((lease, day), charged) in &self.charged {
            if let Some(terms) = self.terms.get(lease) {
                let key = (terms.customer.to_string(), terms.function.to_string(), *day);
                *counted.entry(key).or_default() += charged;
            }
        }
        for (customer, function, day, stored) in &days {
            let key = (customer.to_string(), function.to_string(), *day);
            let counted = counted.remove(&key).unwrap_or(0);
            if counted != i128::from(stored.micros()) {
                let message = format!(
                    "{customer}, {function}, day {day}: {stored} is stored, {counted} micro-units were charged"
                );
                self.find("spending", message);
            }
        }
        for ((customer, function, day), counted) in counted {
            let message = format!(
                "{customer}, {function}, day {day}: nothing is stored, {counted} micro-units were charged"
            );
            self.find("spending", message);
        }
        for set in spending::caps(&mut self.tx, None).await? {
            self.report.caps += 1;
            self.cap(&set, &days).await?;
        }
        for stop in spending::stops(&mut self.tx, None).await? {
            let runs =
                |terms: &&terms::Terms| terms.function == stop.function && terms.ended_ms.is_none();
            if let Some(terms) = self.terms.values().find(runs) {
                let message = format!("{} is stopped, and {} runs", stop.function, terms.lease);
                self.find("stopped-runs", message);
            }
        }
        Ok(())
    }

    /// In every span since it was set, what was spent, and at last also what is set aside, is within the cap, or within what
    /// was spent and set aside when it was set.
    async fn cap(
        &mut self,
        set: &SetCap,
        days: &[(
            nacre_ledger::Customer,
            nacre_protocol::ids::FunctionName,
            u64,
            Amount,
        )],
    ) -> Result<(), StoreError> {
        let period = set.cap.period;
        let first = period.start_ms(set.set_ms) / DAY_MS;
        let of_this = |customer: &nacre_ledger::Customer, function| {
            *customer == set.customer && set.function.as_ref().is_none_or(|of| of == function)
        };
        let mut spans: BTreeMap<u64, i128> = BTreeMap::new();
        for (customer, function, day, amount) in days {
            if *day >= first && of_this(customer, function) {
                let span = period.start_ms(day * DAY_MS);
                *spans.entry(span).or_default() += i128::from(amount.micros());
            }
        }
        let latest = period.start_ms(self.latest_ms.max(set.set_ms));
        spans.entry(latest).or_default();
        let held = terms::held(&mut self.tx, &set.customer, set.function.as_ref()).await?;
        for (span, spent) in spans {
            let set_aside = if span == latest { held.micros() } else { 0 };
            let committed = spent + i128::from(set_aside);
            let begun = period.start_ms(set.set_ms) == span;
            let floor = if begun { set.floor } else { Amount::ZERO };
            let most = set.cap.limit.max(floor);
            if committed > i128::from(most.micros()) {
                let which = match (&set.function, period) {
                    (Some(function), Period::Day) => format!("{function}, a day"),
                    (Some(function), Period::Month) => format!("{function}, a month"),
                    (Some(function), Period::Ever) => function.to_string(),
                    (None, Period::Day) => "all functions, a day".to_owned(),
                    (None, Period::Month) => "all functions, a month".to_owned(),
                    (None, Period::Ever) => "all functions".to_owned(),
                };
                let message = format!(
                    "{}, {which}: {committed} micro-units are spent or set aside since {span}, of at most {most}",
                    set.customer
                );
                self.find("cap-passed", message);
            }
        }
        Ok(())
    }
}
