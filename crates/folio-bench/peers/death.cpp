// What becomes of the others when a process dies that uses a lock of the C library's or of
// Boost.Interprocess's. The test `death` compiles this, runs it, and prints a table.
//
//     death list                      the peers, and which scripts each has, one a line
//     death PEER SCRIPT SECONDS       runs one script, and prints how it ended
//
// Scripts:
//
//     holding   a process dies while it has the lock
//     waiting   a process dies while it waits
//     random    processes that lock and unlock all the time are killed at random times
//
// The survivor has SECONDS for each of its steps. If it hangs, SIGALRM ends it.

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <memory>
#include <new>
#include <random>
#include <string>
#include <vector>

#include <pthread.h>
#include <semaphore.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#if __has_include(<boost/interprocess/ipc/message_queue.hpp>)
#define HAS_BOOST 1
#include <boost/interprocess/ipc/message_queue.hpp>
#include <boost/interprocess/sync/interprocess_condition.hpp>
#include <boost/interprocess/sync/interprocess_mutex.hpp>
#include <boost/interprocess/sync/interprocess_semaphore.hpp>
#include <boost/interprocess/sync/interprocess_sharable_mutex.hpp>
#include <boost/interprocess/sync/scoped_lock.hpp>
#endif

namespace {

constexpr int ROUNDS = 200;
unsigned seconds = 5;

[[noreturn]] void fail(const char *what, int error) {
  std::fprintf(stderr, "death: %s: %s\n", what, std::strerror(error));
  std::_Exit(1);
}

void check(const char *what, int error) {
  if (error != 0) fail(what, error);
}

// A value that the process shares with its children, and never frees.
template <typename T>
T *shared() {
  void *place = mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (place == MAP_FAILED) fail("mmap", errno);
  return new (place) T();
}

// A child that ends with its parent, and never returns from its work.
template <typename Work>
pid_t spawn(Work work) {
  pid_t child = fork();
  if (child == -1) fail("fork", errno);
  if (child != 0) return child;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  work();
  std::_Exit(1);
}

void kill_and_reap(pid_t child) {
  int status = 0;
  kill(child, SIGKILL);
  if (waitpid(child, &status, 0) != child) fail("waitpid", errno);
  if (!WIFSIGNALED(status)) {
    std::fprintf(stderr, "death: a child ended by itself\n");
    std::_Exit(1);
  }
}

// Waits until a child sleeps in a system call.
void until_asleep(pid_t child) {
  std::string path = "/proc/" + std::to_string(child) + "/stat";
  for (int asleep = 0; asleep < 20;) {
    std::ifstream stat(path);
    std::string line;
    std::getline(stat, line);
    auto end = line.rfind(')');
    asleep = end != std::string::npos && line[end + 2] == 'S' ? asleep + 1 : 0;
    usleep(1000);
  }
}

// What a peer's lock does, in the process that is to die and in the one that is to live.
struct Lock {
  virtual ~Lock() = default;
  // Takes what the dead will have, and gives it back.
  virtual void hold() = 0;
  virtual void release() = 0;
  // Takes what excludes that, and gives it back.
  virtual void use() {
    hold();
    release();
  }
  // How often this process was told that an owner died.
  int told = 0;
};

void report(const Lock &lock) {
  if (lock.told > 0)
    std::printf("goes on, told of %d %s\n", lock.told, lock.told == 1 ? "death" : "deaths");
  else
    std::printf("goes on\n");
}

void die_holding(Lock &lock) {
  int *held = shared<int>();
  pid_t victim = spawn([&] {
    lock.hold();
    __atomic_store_n(held, 1, __ATOMIC_RELEASE);
    for (;;) pause();
  });
  while (__atomic_load_n(held, __ATOMIC_ACQUIRE) == 0) usleep(100);
  kill_and_reap(victim);
  for (int i = 0; i < 3; i++) {
    alarm(seconds);
    lock.use();
  }
  report(lock);
}

void die_waiting(Lock &lock) {
  lock.hold();
  pid_t victim = spawn([&] {
    lock.use();
    for (;;) pause();
  });
  until_asleep(victim);
  kill_and_reap(victim);
  lock.release();
  for (int i = 0; i < 3; i++) {
    alarm(seconds);
    lock.use();
  }
  report(lock);
}

void die_at_random(Lock &lock) {
  std::mt19937 random(1);
  std::uniform_int_distribution<unsigned> pause_us(0, 3000);
  for (int round = 1; round <= ROUNDS; round++) {
    // For whoever sees this process end in the middle.
    std::printf("in round %d of %d\n", round, ROUNDS);
    std::fflush(stdout);
    alarm(seconds);
    auto work = [&] {
      for (;;) {
        lock.hold();
        lock.release();
      }
    };
    pid_t victims[2] = {spawn(work), spawn(work)};
    for (pid_t victim : victims) {
      usleep(pause_us(random));
      kill_and_reap(victim);
      lock.use();
    }
  }
  report(lock);
}

struct PthreadMutex : Lock {
  pthread_mutex_t *mutex = shared<pthread_mutex_t>();

  explicit PthreadMutex(bool robust) {
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    if (robust) pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    check("pthread_mutex_init", pthread_mutex_init(mutex, &attributes));
  }
  void hold() override {
    int error = pthread_mutex_lock(mutex);
    if (error == EOWNERDEAD) {
      told++;
      error = pthread_mutex_consistent(mutex);
    }
    check("pthread_mutex_lock", error);
  }
  void release() override { check("pthread_mutex_unlock", pthread_mutex_unlock(mutex)); }
};

// Readers die, and a writer is to live.
struct PthreadRwlock : Lock {
  pthread_rwlock_t *rwlock = shared<pthread_rwlock_t>();

  PthreadRwlock() {
    pthread_rwlockattr_t attributes;
    pthread_rwlockattr_init(&attributes);
    pthread_rwlockattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    check("pthread_rwlock_init", pthread_rwlock_init(rwlock, &attributes));
  }
  void hold() override { check("pthread_rwlock_rdlock", pthread_rwlock_rdlock(rwlock)); }
  void release() override { check("pthread_rwlock_unlock", pthread_rwlock_unlock(rwlock)); }
  void use() override {
    check("pthread_rwlock_wrlock", pthread_rwlock_wrlock(rwlock));
    release();
  }
};

struct PosixSemaphore : Lock {
  sem_t *semaphore = shared<sem_t>();

  PosixSemaphore() { sem_init(semaphore, 1, 1); }
  void hold() override {
    while (sem_wait(semaphore) != 0)
      if (errno != EINTR) fail("sem_wait", errno);
  }
  void release() override { sem_post(semaphore); }
};

// What a condition variable's users do: `wait` until `wake` is called, by anyone, once or more.
struct Condition {
  virtual ~Condition() = default;
  virtual void wait() = 0;
  virtual void wake() = 0;
};

// One waiter dies, another lives, and is woken again and again.
void die_waiting_for(Condition &condition) {
  pid_t victim = spawn([&] {
    for (;;) condition.wait();
  });
  until_asleep(victim);
  kill_and_reap(victim);
  int *woken = shared<int>();
  pid_t survivor = spawn([&] {
    for (;;) {
      condition.wait();
      __atomic_add_fetch(woken, 1, __ATOMIC_RELEASE);
    }
  });
  for (int round = 1; round <= ROUNDS; round++) {
    std::printf("in round %d of %d\n", round, ROUNDS);
    std::fflush(stdout);
    alarm(seconds);
    while (__atomic_load_n(woken, __ATOMIC_ACQUIRE) < round) {
      condition.wake();
      usleep(50);
    }
  }
  kill_and_reap(survivor);
  std::printf("goes on\n");
}

struct PthreadCondition : Condition {
  PthreadMutex mutex{true};
  pthread_cond_t *condition = shared<pthread_cond_t>();

  PthreadCondition() {
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    check("pthread_cond_init", pthread_cond_init(condition, &attributes));
  }
  void wait() override {
    mutex.hold();
    check("pthread_cond_wait", pthread_cond_wait(condition, mutex.mutex));
    mutex.release();
  }
  void wake() override {
    mutex.hold();
    check("pthread_cond_broadcast", pthread_cond_broadcast(condition));
    mutex.release();
  }
};

#ifdef HAS_BOOST
namespace ipc = boost::interprocess;

struct BoostMutex : Lock {
  ipc::interprocess_mutex *mutex = shared<ipc::interprocess_mutex>();

  void hold() override { mutex->lock(); }
  void release() override { mutex->unlock(); }
};

struct BoostSharable : Lock {
  ipc::interprocess_sharable_mutex *mutex = shared<ipc::interprocess_sharable_mutex>();

  void hold() override { mutex->lock_sharable(); }
  void release() override { mutex->unlock_sharable(); }
  void use() override {
    mutex->lock();
    mutex->unlock();
  }
};

struct BoostSemaphore : Lock {
  struct Init : ipc::interprocess_semaphore {
    Init() : interprocess_semaphore(1) {}
  };
  Init *semaphore = shared<Init>();

  void hold() override { semaphore->wait(); }
  void release() override { semaphore->post(); }
};

struct BoostCondition : Condition {
  BoostMutex mutex;
  ipc::interprocess_condition *condition = shared<ipc::interprocess_condition>();

  void wait() override {
    ipc::scoped_lock<ipc::interprocess_mutex> lock(*mutex.mutex);
    condition->wait(lock);
  }
  void wake() override {
    ipc::scoped_lock<ipc::interprocess_mutex> lock(*mutex.mutex);
    condition->notify_all();
  }
};

// Each sends a message and receives one.
struct BoostQueue : Lock {
  std::string name = "folio-death-" + std::to_string(getpid());
  std::unique_ptr<ipc::message_queue> queue;

  BoostQueue() {
    queue = std::make_unique<ipc::message_queue>(ipc::create_only, name.c_str(), 64, sizeof(long));
    // It stays as long as it is mapped.
    ipc::message_queue::remove(name.c_str());
  }
  void hold() override {
    long message = getpid();
    queue->send(&message, sizeof message, 0);
  }
  void release() override {
    long message = 0;
    ipc::message_queue::size_type size_bytes = 0;
    unsigned priority = 0;
    queue->receive(&message, sizeof message, size_bytes, priority);
  }
  void use() override {
    long message = 0;
    ipc::message_queue::size_type size_bytes = 0;
    unsigned priority = 0;
    // What the dead have sent and not received.
    while (queue->try_receive(&message, sizeof message, size_bytes, priority)) {
    }
    hold();
    release();
  }
};
#endif

struct Peer {
  std::string name;
  std::vector<std::pair<std::string, std::function<void()>>> scripts;
};

template <typename Make>
Peer of_lock(const char *name, Make make) {
  return {name,
          {{"holding", [make] { die_holding(*make()); }},
           {"waiting", [make] { die_waiting(*make()); }},
           {"random", [make] { die_at_random(*make()); }}}};
}

template <typename Make>
Peer of_condition(const char *name, Make make) {
  return {name, {{"waiting", [make] { die_waiting_for(*make()); }}}};
}

template <typename Make>
Peer of_queue(const char *name, Make make) {
  return {name, {{"random", [make] { die_at_random(*make()); }}}};
}

std::vector<Peer> peers() {
  return {
      of_lock("pthread_mutex", [] { return std::make_unique<PthreadMutex>(false); }),
      of_lock("pthread_mutex_robust", [] { return std::make_unique<PthreadMutex>(true); }),
      of_lock("pthread_rwlock", [] { return std::make_unique<PthreadRwlock>(); }),
      of_condition("pthread_cond", [] { return std::make_unique<PthreadCondition>(); }),
      of_lock("sem", [] { return std::make_unique<PosixSemaphore>(); }),
#ifdef HAS_BOOST
      of_lock("boost_mutex", [] { return std::make_unique<BoostMutex>(); }),
      of_lock("boost_sharable_mutex", [] { return std::make_unique<BoostSharable>(); }),
      of_condition("boost_condition", [] { return std::make_unique<BoostCondition>(); }),
      of_lock("boost_semaphore", [] { return std::make_unique<BoostSemaphore>(); }),
      of_queue("boost_message_queue", [] { return std::make_unique<BoostQueue>(); }),
#endif
  };
}

}  // namespace

int main(int argc, char **argv) {
  if (argc == 2 && std::string(argv[1]) == "list") {
    for (const auto &peer : peers())
      for (const auto &script : peer.scripts)
        std::printf("%s %s\n", peer.name.c_str(), script.first.c_str());
    return 0;
  }
  if (argc == 4) {
    seconds = static_cast<unsigned>(std::atoi(argv[3]));
    for (const auto &peer : peers())
      for (const auto &script : peer.scripts)
        if (peer.name == argv[1] && script.first == argv[2]) {
          alarm(seconds);
          script.second();
          return 0;
        }
  }
  std::fprintf(stderr, "usage: death list | death PEER SCRIPT SECONDS\n");
  return 2;
}
