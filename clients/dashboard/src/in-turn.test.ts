import { expect, test } from "vitest";
import { inTurn } from "./in-turn";

/** A request that is answered when the test says so. */
function request(log: string[], name: string) {
  let answer = () => {};
  let refuse = (_error: Error) => {};
  const make = () => {
    log.push(name);
    return new Promise<string>((done, fail) => { answer = () => done(name); refuse = fail; });
  };
  return { make, answer: () => answer(), refuse: (error: Error) => refuse(error) };
}
const settled = () => new Promise((done) => setTimeout(done));

test("a request waits for the answer to the one before it about the same thing, and for no other", async () => {
  const log: string[] = [];
  const [first, second, other] = ["first", "second", "other"].map((name) => request(log, name));
  const one = inTurn("mapping", first!.make);
  const two = inTurn("mapping", second!.make);
  void inTurn("another mapping", other!.make);
  await settled();
  expect(log).toEqual(["first", "other"]);
  first!.answer();
  expect(await one).toBe("first");
  await settled();
  expect(log).toEqual(["first", "other", "second"]);
  second!.answer();
  expect(await two).toBe("second");
});

test("one that failed is told to who made it, and holds up nobody", async () => {
  const log: string[] = [];
  const [first, second] = ["first", "second"].map((name) => request(log, name));
  const one = inTurn("mapping", first!.make);
  const two = inTurn("mapping", second!.make);
  await settled();
  first!.refuse(new Error("away"));
  await expect(one).rejects.toThrow("away");
  await settled();
  second!.answer();
  expect(await two).toBe("second");
});
