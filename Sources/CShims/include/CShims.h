#pragma once
#include "CShimsSystem.h"
#include "CShimsICU.h"
#include "CShimsClock.h"
