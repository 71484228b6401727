//! A web shop of ten services, small enough to know by heart.
//!
//! ```text
//!  frontend ─┬─> catalog ──> redis, postgresql        checkout ─┬─> cart, inventory, accounts
//!            ├─> recommendations ─> mongodb, catalog            ├─> payments ─> api.cardpay.example, orders-db
//!            ├─> cart ──> redis, mongodb, catalog               ├─> orders-db (postgresql)
//!            ├─> accounts ──> redis, mysql                      └─> kafka: orders ─┬─> shipping ─> kafka: parcels ─┐
//!            ├─> inventory ─> mysql                                                └─> notifications <─────────────┘
//!            └─> checkout
//! ```

use super::builder::{Builder, Do, ask, compute, insist, together, try_ask, work};
use super::{OperationIdx, Runtime, ServiceIdx, System, TopicIdx};

/// The shop.
pub fn shop() -> System {
    let mut b = Builder::new("shop", 4, 8.0);
    let frontend = b.service("frontend", Runtime::Node, 3);
    b.scale(frontend, 6);
    let kafka = b.broker("kafka", "kafka");
    let orders = b.topic(kafka, "orders", false);
    let parcels = b.topic(kafka, "parcels", true);
    let orders_db = b.database("postgresql", "orders-db");

    let accounts = accounts(&mut b);
    let catalog = catalog(&mut b);
    let inventory = inventory(&mut b);
    let cart = cart(&mut b, catalog.product);
    let recommendations = recommendations(&mut b, catalog.product);
    let checkout = checkout(&mut b, &cart, &inventory, &accounts, (orders_db, orders));
    consumers(&mut b, inventory.pick, orders_db, (orders, parcels));

    let home_steps = [
        work(12.0),
        Do::Perhaps(0.6, vec![ask(accounts.session)]),
        together(&[catalog.list], &[recommendations]),
        compute(26.0),
    ];
    let home = b.http(frontend, "GET /", &home_steps);
    let product_steps = [
        work(8.0),
        together(&[catalog.product, inventory.stock], &[]),
        Do::Perhaps(0.5, vec![try_ask(recommendations)]),
        compute(22.0),
    ];
    let product = b.http(frontend, "GET /product/{id}", &product_steps);
    let basket =
        b.http(frontend, "GET /cart", &[work(8.0), ask(accounts.session), insist(cart.show, 1), compute(20.0)]);
    let add = b.http(frontend, "POST /cart", &[work(8.0), ask(accounts.session), ask(cart.add), work(6.0)]);
    let buy = b.http(frontend, "POST /checkout", &[work(10.0), ask(accounts.session), ask(checkout), work(14.0)]);
    for (operation, rate_per_s) in [(home, 3.0), (product, 3.0), (basket, 0.9), (add, 1.2), (buy, 0.7)] {
        b.entry(operation, rate_per_s);
    }
    b.finish()
}

struct Accounts {
    session: OperationIdx,
    profile: OperationIdx,
}

fn accounts(b: &mut Builder) -> Accounts {
    let db = b.database("mysql", "accounts-db");
    let sessions = b.cache("redis", "sessions");
    let by_token = b.statement(db, "SELECT sessions", 30.0);
    let by_id = b.statement(db, "SELECT accounts", 34.0);
    let service = b.service("accounts", Runtime::Jvm, 2);
    let session_steps = [work(56.0), Do::Cached(sessions, 0.7, vec![ask(by_token)]), work(32.0)];
    let profile_steps = [work(32.0), ask(by_id), work(22.0)];
    Accounts {
        session: b.grpc(service, "shop.Accounts/CheckSession", &session_steps),
        profile: b.grpc(service, "shop.Accounts/GetProfile", &profile_steps),
    }
}

struct Catalog {
    list: OperationIdx,
    product: OperationIdx,
}

fn catalog(b: &mut Builder) -> Catalog {
    let db = b.database("postgresql", "products-db");
    let products = b.cache("redis", "products-cache");
    let many = b.statement(db, "SELECT products", 48.0);
    let one = b.statement(db, "SELECT product", 30.0);
    let service = b.service("catalog", Runtime::Go, 3);
    b.scale(service, 6);
    let list_steps = [work(30.0), Do::Cached(products, 0.6, vec![ask(many), work(10.0)]), compute(46.0)];
    let product_steps = [work(18.0), Do::Cached(products, 0.55, vec![insist(one, 1), work(6.0)]), compute(36.0)];
    Catalog {
        list: b.grpc(service, "shop.Catalog/List", &list_steps),
        product: b.grpc(service, "shop.Catalog/GetProduct", &product_steps),
    }
}

struct Inventory {
    stock: OperationIdx,
    reserve: OperationIdx,
    pick: OperationIdx,
}

fn inventory(b: &mut Builder) -> Inventory {
    let db = b.database("mysql", "inventory-db");
    let select = b.statement(db, "SELECT stock", 32.0);
    let update = b.statement(db, "UPDATE stock", 44.0);
    let service = b.service("inventory", Runtime::Jvm, 2);
    Inventory {
        stock: b.http(service, "GET /stock/{sku}", &[work(52.0), ask(select), compute(32.0)]),
        reserve: b.http(service, "POST /reservations", &[work(40.0), ask(select), ask(update), work(24.0)]),
        pick: b.http(service, "POST /picks", &[work(36.0), ask(update), work(16.0)]),
    }
}

struct Cart {
    show: OperationIdx,
    add: OperationIdx,
}

fn cart(b: &mut Builder, product: OperationIdx) -> Cart {
    let carts = b.cache("redis", "carts");
    let db = b.database("mongodb", "carts-db");
    let find = b.statement(db, "find carts", 34.0);
    let update = b.statement(db, "update carts", 48.0);
    let service = b.service("cart", Runtime::Node, 2);
    Cart {
        show: b.http(
            service,
            "GET /carts/{user}",
            &[work(54.0), Do::Cached(carts, 0.6, vec![ask(find)]), compute(30.0)],
        ),
        add: b.http(service, "POST /carts/{user}/items", &[work(46.0), ask(product), ask(update), work(22.0)]),
    }
}

fn recommendations(b: &mut Builder, product: OperationIdx) -> OperationIdx {
    let db = b.database("mongodb", "profiles-db");
    let find = b.statement(db, "find profiles", 42.0);
    let service = b.service("recommendations", Runtime::Python, 2);
    b.scale(service, 6);
    let steps = [work(16.0), ask(find), compute(76.0), Do::Perhaps(0.5, vec![ask(product)]), work(10.0)];
    b.grpc(service, "shop.Recommendations/ForUser", &steps)
}

fn checkout(
    b: &mut Builder,
    cart: &Cart,
    inventory: &Inventory,
    accounts: &Accounts,
    (db, orders): (ServiceIdx, TopicIdx),
) -> OperationIdx {
    let card = b.external("api.cardpay.example");
    let charge_card = b.remote(card, "POST /v1/charges", 210.0);
    let insert_payment = b.statement(db, "INSERT payments", 50.0);
    let insert_order = b.statement(db, "INSERT orders", 60.0);
    let payments = b.service("payments", Runtime::Jvm, 2);
    let charge_steps = [compute(176.0), insist(charge_card, 1), ask(insert_payment), work(68.0)];
    let charge = b.grpc(payments, "shop.Payments/Charge", &charge_steps);
    let checkout = b.service("checkout", Runtime::Go, 2);
    let steps = [
        work(36.0),
        together(&[cart.show], &[accounts.profile]),
        ask(inventory.reserve),
        ask(charge),
        ask(insert_order),
        Do::Publish(orders),
        work(24.0),
    ];
    b.grpc(checkout, "shop.Checkout/PlaceOrder", &steps)
}

fn consumers(b: &mut Builder, pick: OperationIdx, db: ServiceIdx, (orders, parcels): (TopicIdx, TopicIdx)) {
    let insert = b.statement(db, "INSERT parcels", 50.0);
    let select = b.statement(db, "SELECT parcels", 30.0);
    let shipping = b.service("shipping", Runtime::Python, 2);
    b.consume(shipping, orders, &[compute(352.0), insist(pick, 2), ask(insert), Do::Publish(parcels), work(80.0)]);
    let status = b.http(shipping, "GET /parcels/{order}", &[work(108.0), ask(select), compute(54.0)]);
    let notifications = b.service("notifications", Runtime::Node, 2);
    b.consume(notifications, orders, &[work(244.0), Do::Perhaps(0.5, vec![try_ask(status)]), work(162.0)]);
    b.consume(notifications, parcels, &[work(378.0)]);
}

#[cfg(test)]
mod tests {
    use super::super::Role;
    use super::super::check::check;
    use super::*;

    #[test]
    fn the_shop_is_what_its_drawing_says() {
        let shop = shop();
        check(&shop).unwrap();
        let services = shop.services.iter().filter(|service| service.role == Role::Service);
        assert_eq!(services.count(), 10);
        let home = shop.entries[0];
        let target = shop.service("products-db").unwrap();
        let path = shop.path(&home, target).unwrap();
        let names: Vec<&str> = path.iter().map(|&at| shop.services[at].name.as_str()).collect();
        assert_eq!(names, ["frontend", "catalog", "products-db"]);
    }
}
