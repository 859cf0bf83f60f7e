#pragma once
#include "CFaults.h"
#include <stdbool.h>
#include <sys/types.h>

/// What a call is to do.
enum faults_verdict { FAULTS_PASS, FAULTS_FAIL, FAULTS_HALVE, FAULTS_CUT };

/// Whether a path, a descriptor or the calling thread belongs to the plan.
bool faults_has_path(const char *path);
bool faults_has_file(int descriptor);
bool faults_has_thread(void);
bool faults_is_armed(void);
void faults_watch(int descriptor, bool isSocket);
bool faults_is_socket(int descriptor);
void faults_forget(int descriptor);
int faults_port(void);

/// Counts a call that belongs to the plan; `*code` is the error it fails with.
enum faults_verdict faults_count(int kind, int *code);
/// How many bytes may still pass before the connections are at their end; SIZE_MAX: no bound.
size_t faults_allowance(int kind);
/// The bound is reached. False when another connection was first.
bool faults_spend(int kind);
void faults_passed(int kind, ssize_t bytes);
/// The connection is at its end from now on.
void faults_cut(int descriptor);
bool faults_is_cut(int descriptor);
