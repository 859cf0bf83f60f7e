#pragma once
#include <stddef.h>
#include <sasl/sasl.h>
#include <sasl/saslplug.h>
#include <sasl/prop.h>
#include <sasl/saslutil.h>
